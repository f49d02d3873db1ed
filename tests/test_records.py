"""Records of more than four fields are built with keywords: neighbours of one type are swapped unseen otherwise."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("flows", "tasks", "model", "storage")
MODULES = sorted(path for folder in (*FLOORS, "tests") for path in (ROOT / folder).rglob("*.py"))
MOST = 4
"""Positional arguments in the construction of a record with more fields than that."""


def dotted(path: Path) -> str:
    """`storage/records.py` -> `voicemill.storage.records`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts if parts[0] == "tests" else ("voicemill", *parts))


def is_dataclass(node: ast.ClassDef) -> bool:
    decorators = [item.func if isinstance(item, ast.Call) else item for item in node.decorator_list]
    return any(ast.unparse(item).rpartition(".")[2] == "dataclass" for item in decorators)


def records(module: str, tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """Dotted name and fields of every dataclass of a module; inherited fields are not counted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and is_dataclass(node):
            yield (
                f"{module}.{node.name}",
                [
                    item.target.id
                    for item in node.body
                    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
                ],
            )


def names(module: str, tree: ast.Module) -> dict[str, str]:
    """Name in a module -> dotted name of what it stands for."""
    found = {node.name: f"{module}.{node.name}" for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.asname: alias.name for alias in node.names if alias.asname}
    return found


def constructions(module: str, tree: ast.Module, fields: Mapping[str, list[str]]) -> Iterator[tuple[ast.Call, str]]:
    """Calls of the classes in `fields` with more positional arguments than MOST, or with an unknown number of them."""
    known = names(module, tree)
    owner = {child: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for child in ast.walk(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        head, _, rest = ast.unparse(node.func).partition(".")
        name = f"{known.get(head, head)}.{rest}".rstrip(".")
        if name == "cls" and node in owner:
            name = f"{module}.{owner[node].name}"
        several = any(isinstance(item, ast.Starred) for item in node.args)
        if len(fields.get(name, ())) > MOST and (len(node.args) > MOST or several):
            yield node, name


def test_records_of_many_fields_are_built_with_keywords() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}
    fields = {name: parts for path, tree in trees.items() for name, parts in records(dotted(path), tree)}
    assert len(fields) > 100
    positional = [
        f"{path.relative_to(ROOT).as_posix()}:{node.lineno} {name}"
        for path, tree in trees.items()
        for node, name in constructions(dotted(path), tree, fields)
    ]
    assert positional == []


def test_a_positional_construction_is_seen() -> None:
    source = """
from dataclasses import dataclass
from voicemill.storage import records as rows
from voicemill.storage.records import Upload, Word
@dataclass(frozen=True)
class Own:
    a: int
    b: int
    c: int
    d: int
    e: int = 0
    @classmethod
    def of(cls, values):
        return cls(*values)
def f(values):
    Upload("0", "anna", "a.wav", 1, "en")
    Upload("0", "anna", "a.wav", 1, language="en")
    rows.Upload(*values)
    Own(1, 2, 3, 4, 5)
    Word(*values)
"""
    tree = ast.parse(source)
    five = ["a", "b", "c", "d", "e"]
    fields = {"voicemill.storage.records.Upload": five, "voicemill.storage.records.Word": ["a"]}
    fields |= dict(records("m", tree))
    assert fields["m.Own"] == five
    assert [node.lineno for node, _ in constructions("m", tree, fields)] == [16, 18, 19, 14]
