"""Language of a given text: by its characters, then by its commonest words.

Method: kana, Hangul, Chinese characters and other scripts of one language decide at once; letters tell Ukrainian from
Russian and Persian from Arabic. The language of a text in Latin letters is the one whose function words make up most of
it, else the one whose own letters it has (German: two words with an umlaut or ß); English is also what its dictionary
knows. Measured on the 466 texts of ../shared/speech by tests/model/text/test_detect.py.
Cost: microseconds; the dictionary is read once, for a short text without function words.
"""

import re
import unicodedata
from collections import Counter

from voicemill.model.text.frontend import HAN, HANGUL, KANA

_SCRIPTS = {
    "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "THAI": "th", "HEBREW": "he", "GREEK": "el", "GEORGIAN": "ka",
    "ARMENIAN": "hy", "DEVANAGARI": "hi", "TAMIL": "ta", "TELUGU": "te", "BENGALI": "bn", "KHMER": "km", "LAO": "lo",
    "CYRILLIC": "ru", "ARABIC": "ar",
}  # fmt: skip
"""Scripts and their commonest language, by the first word of a character's name in Unicode."""
_LETTERS = {"ru": {"uk": "іїєґ", "be": "ў", "sr": "ђјљњћџ", "kk": "әғқңөұһ"}, "ar": {"fa": "پچژگ", "ur": "ٹڈڑے"}}
"""Commonest language of a script -> other languages of it, by letters that only they have."""
_OWN = {
    "de": "ß",
    "es": "ñ¿¡",
    "pt": "ãõ",
    "pl": "łąęśźż",
    "cs": "řěů",
    "hu": "őű",
    "tr": "ğış",
    "vi": "đươ",
    "ro": "șț",
}
"""Letters of Latin scripts that name the language of a text without function words."""
_WORDS = {
    "en": "the and of to a in that is was he it for with as his on be at by had not but this have from i you they she "
    "we are or an her which my your me what there if will were so no all would one do has been them who him when its "
    "more out up into some could than then now only our their about these those very can how because before after",
    "de": "der die das und ist nicht ein eine zu den mit sich auf für von im dem er sie es wir ich auch als an werden "
    "wird aus hat dass daß bei nach am einen noch wie einem über so zum war haben nur oder aber vor zur bis mehr durch "
    "man er sein seine seinen seiner ihm ihr ihre ihren weder heute hier dort ob jedoch später wurde wurden waren kann "
    "können muss sehr unter wenn dann doch schon jetzt mir dir uns euch kein keine",
    "fr": "le la les de des et est un une dans que qui pour pas sur au avec il elle ce se ne plus par je vous nous son "
    "sa ses mais ou où on du en à été sont cette même comme tout être aux leur bien",
    "es": "el la los las de que y en un una es no se por con para su lo del al como más pero sus le ya o este porque "
    "esta entre cuando muy sin sobre también me hasta hay donde quien desde todo nos era ser",
    "it": "il lo la gli le di che e è un una in per non con si da del della sono come più ma anche al alla dei nel "
    "questo questa ho hai ha io se mi ti ci suo sua loro quando molto",
    "pt": "o a os as de que e do da em um uma é não para com se por mais dos das no na como mas ao ele foi à seu ou "
    "quando muito nos já eu também só pelo pela até isso ela entre depois sem você",
    "nl": "de het een en van ik te dat die in is niet je zijn op aan met als voor had er maar om hem dan zou of mijn "
    "men dit zo door over ze zich bij ook tot naar haar uit nog wordt werd",
    "sv": "och i att det som en på är av för med den till han inte ett jag var sig om de så men har hon från vi kan nu "
    "när man sin där skulle ut också efter vid bara upp eller",
}
_FUNCTION = {code: frozenset(words.split()) for code, words in _WORDS.items()}
LEAST = 0.15
"""Share of function words below which they tell no language; sentences have a third or more."""
KNOWN = 0.9
"""Share of the words in the English dictionary above which a short text is English."""


CLEAR = 0.3
"""Share of function words, of `ENOUGH` words or more, from which a text clearly contradicts a stated language."""
ENOUGH = 5
_ALIKE = tuple(
    frozenset(group.split())
    for group in (
        "zh yue wuu nan hak gan hsn ja ko", "sv da no nb nn", "es pt gl ca", "nl af", "hi mr ne sa", "he yi", "bn as",
        "ru uk be sr bg mk kk ky mn tg tt ba cv", "ar fa ur ps ug sd ckb ku az",
    )
)  # fmt: skip
"""Languages that are written alike: none of them contradicts another, as a text in Chinese characters may be each."""


def text_language(text: str) -> str:
    """ISO 639-1 code of the language of a text; "" where it cannot be told."""
    script = _script(text)
    if script != "LATIN":
        return script
    shares = _shares(text)
    best, second = sorted(shares.values(), reverse=True)[:2]
    if best >= LEAST and best > second:
        return max(shares, key=shares.__getitem__)
    lower = unicodedata.normalize("NFC", text).lower()  # casefold would take ß away
    own = [code for code, letters in _OWN.items() if set(lower) & set(letters)]
    if not own and len(re.findall(r"\w*[äöü]\w*", lower)) >= 2 and not re.search("[åøæéèàç]", lower):
        own = ["de"]
    if len(own) == 1:
        return own[0]
    words = _words_of(text)
    return "en" if text.isascii() and words and _known_in_english(words) >= KNOWN else ""


def contradiction(text: str, stated: str) -> str:
    """Language that a text is clearly written in although another is stated; "" where nothing speaks against it."""
    script = _script(text)
    if script == "LATIN":
        shares = _shares(text)
        actual = max(shares, key=shares.__getitem__)
        if len(_words_of(text)) < ENOUGH or shares[actual] < CLEAR or shares[actual] < 2 * shares.get(stated, 0.0):
            return ""
    else:
        actual = script if len(re.findall(r"\w", text)) >= ENOUGH else ""
    alike = any({actual, stated} <= group for group in _ALIKE)
    return "" if actual == stated or not stated or alike else actual


def _script(text: str) -> str:
    """Language of a text by its characters; "LATIN" where its words must tell, "" where nothing does."""
    letters = [char for char in text if char.isalpha()]
    if not letters:
        return ""
    if re.search(f"[{KANA}]", text):
        return "ja"
    if re.search(f"[{HANGUL}]", text):
        return "ko"
    # single letters are spelt out in any language: "O P A（淮海店）"
    if len(re.findall(f"[{HAN}]", text)) > len(re.findall("[A-Za-z]{2,}", text)):
        return "zh"
    scripts = Counter(unicodedata.name(char, "").partition(" ")[0] for char in letters)
    script = scripts.most_common(1)[0][0]
    if script == "LATIN":
        return script
    language = _SCRIPTS.get(script, "")
    others = _LETTERS.get(language, {})
    return next((code for code, own in others.items() if set(text.lower()) & set(own)), language)


def _words_of(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)*", unicodedata.normalize("NFC", text).casefold())


def _shares(text: str) -> dict[str, float]:
    """Language -> share of the words of a text that are its function words."""
    words = _words_of(text)
    return {code: sum(word in known for word in words) / max(len(words), 1) for code, known in _FUNCTION.items()}


def _known_in_english(words: list[str]) -> float:
    from voicemill.model.text.english.lexicon import lexicon

    known = lexicon()
    return sum(known.knows(word) for word in words) / len(words)
