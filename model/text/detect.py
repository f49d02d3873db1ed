"""Language of a given text: by its characters, then by its commonest words.

Method: kana, Hangul, Chinese characters and other scripts of one language decide at once. The language of a text in
Latin letters is the one whose function words make up most of it; English is also what its dictionary knows.
Cost: microseconds; the dictionary is read once, for a short text without function words.
"""

import re
import unicodedata
from collections import Counter

from voicemill.model.text.frontend import HAN, HANGUL, KANA

_SCRIPTS = {"HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "THAI": "th", "HEBREW": "he", "GREEK": "el"}
"""Scripts of one language, by the first word of a character's name in Unicode."""
_WORDS = {
    "en": "the and of to a in that is was he it for with as his on be at by had not but this have from i you they she "
    "we are or an her which my your me what there if will were so no all would one do has been them who him when its "
    "more out up into some could than then now only our their about these those very can how because before after",
    "de": "der die das und ist nicht ein eine zu den mit sich auf für von im dem er sie es wir ich auch als an werden "
    "wird aus hat dass daß bei nach am einen noch wie einem über so zum war haben nur oder aber vor zur bis mehr durch",
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


def text_language(text: str) -> str:
    """ISO 639-1 code of the language of a text; "" where it cannot be told."""
    letters = [char for char in text if char.isalpha()]
    if not letters:
        return ""
    if re.search(f"[{KANA}]", text):
        return "ja"
    if re.search(f"[{HANGUL}]", text):
        return "ko"
    if len(re.findall(f"[{HAN}]", text)) > len(re.findall("[A-Za-z]+", text)):
        return "zh"
    scripts = Counter(unicodedata.name(char, "").partition(" ")[0] for char in letters)
    script = scripts.most_common(1)[0][0]
    return _latin(text) if script == "LATIN" else _SCRIPTS.get(script, "")


def _latin(text: str) -> str:
    words = re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)*", unicodedata.normalize("NFC", text).casefold())
    shares = {code: sum(word in known for word in words) / len(words) for code, known in _FUNCTION.items()}
    best, second = sorted(shares.values(), reverse=True)[:2]
    if best >= LEAST and best > second:
        return max(shares, key=shares.__getitem__)
    return "en" if text.isascii() and _known_in_english(words) >= KNOWN else ""


def _known_in_english(words: list[str]) -> float:
    from voicemill.model.text.english.lexicon import lexicon

    known = lexicon()
    return sum(known.knows(word) for word in words) / len(words)
