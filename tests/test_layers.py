"""Structure of the repository: order of the rooms, length of files, dependencies, and what git may track."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOML = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(TOML)["project"]
FLOORS = ("flows", "tasks", "model", "storage")
"""The floors from the top: each may import itself and those after it."""
ROOMS = (
    "flows/cli", "flows/demo", "flows", "flows/service", "flows/service/notices", "flows/service/recovery",
    "flows/listening", "flows/evaluation", "flows/display", "flows/report", "flows/plans",
    "tasks", "tasks/training", "tasks/publishing", "tasks/intake", "tasks/stages", "tasks/contract",
    "model/judging", "model/judging/metrics", "model/judging/testset", "model/voices", "model/export",
    "model/training", "model/training/light", "model/training/distil", "model/training/objectives",
    "model/training/engine", "model/light", "model/speaking", "model/data", "model/adapters", "model/checkpoints",
    "model/s1", "model/s2", "model/settings", "model/aligner", "model/speech", "model/content", "model/text",
    "model/text/chinese", "model/text/english", "model/pitch", "model/quality", "model/speaker",
    "model/audio", "model",
    "storage/checking", "storage/forgetting", "storage/inbox", "storage/inbox/transcripts", "storage/voices",
    "storage/corpus", "storage/audio", "storage/audio/signal", "storage",
)  # fmt: skip
"""Every folder of the four floors from the top: each may import itself and those after it. The files that lie in
`storage/` and `model/` themselves are the ground of their floor, those in `tasks/` the engine over its rooms, those in
`flows/` the flows over theirs."""
PREFECT = ("flows/", "tasks/engine.py")
MODULES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))
MOST_FILES = 14
"""Most Python files in a folder, its `__init__.py` included."""
LONGEST, LONGEST_STAGE = 300, 200
"""Lines."""
MOST_SHARED = 12
"""Identical lines that make two places a repeat."""
MAX_BYTES = 5_000_000


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import, also inside functions; relative ones begin with a dot."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def distributions(requirements: Iterable[str]) -> set[str]:
    """Normalised names of requirements: `Foo_Bar[x]>=1 ; marker` -> `foo-bar`."""
    names = (re.split(r"[\[<>=!~; ]", requirement)[0] for requirement in requirements)
    return {re.sub(r"[-_.]+", "-", item).lower() for item in names}


def room(module: str) -> str:
    """Folder of a module of voicemill, given by its dotted name: `voicemill.model.s1.loss` -> `model/s1`."""
    parts = module.split(".")[1:]
    while parts and not (ROOT.joinpath(*parts).is_dir()):
        parts.pop()
    return "/".join(parts)


def upward(here: str, source: str) -> list[tuple[int, str]]:
    """Imports of a module in the room `here` that point up, or that are relative and so cannot be judged."""
    allowed = ROOMS[ROOMS.index(here) :]
    return [
        (line, name)
        for line, name in imports(source)
        if name[0] == "."
        or name.split(".")[0] in (*FLOORS, "tests")
        or (name.split(".")[0] == "voicemill" and room(name) not in allowed)
    ]


def tracked() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [ROOT / item for item in listing.split("\0") if item and (ROOT / item).is_file()]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_point_down(path: Path) -> None:
    assert upward(name(path.parent), path.read_text(encoding="utf-8")) == []


def test_an_upward_import_is_seen() -> None:
    source = (
        "def f():\n    from voicemill.tasks.contract.stage import Stage\n    import voicemill.storage.units, flows\n"
    )
    assert upward("model/text", source) == [(2, "voicemill.tasks.contract.stage"), (3, "flows")]
    assert upward("tasks", source) == [(3, "flows")]
    assert upward("storage", "from . import keys") == [(1, ".")]
    assert upward("model/s2", "from voicemill.model.s1.loss import loss") == [(1, "voicemill.model.s1.loss")]
    assert upward("storage", "from voicemill import storage") == [(1, "voicemill")]


def test_the_order_lists_every_room() -> None:
    """A folder outside the order could import anything."""
    assert sorted(ROOMS) == sorted({name(path.parent) for path in MODULES})


def test_a_folder_holds_few_files() -> None:
    counts = {here: len(list((ROOT / here).glob("*.py"))) for here in ROOMS}
    assert {here: count for here, count in counts.items() if count > MOST_FILES} == {}


def test_the_links_lead_to_the_floors() -> None:
    assert {path.name: path.resolve() for path in (ROOT / "voicemill").iterdir() if path.is_symlink()} == {
        floor: ROOT / floor for floor in FLOORS
    }


def test_prefect_is_imported_by_flows_and_the_engine_only() -> None:
    found = [
        f"{name(path)}:{line}"
        for path in MODULES
        for line, module in imports(path.read_text(encoding="utf-8"))
        if module.split(".")[0].startswith("prefect") and not name(path).startswith(PREFECT)
    ]
    assert found == []


def test_what_is_imported_is_a_declared_dependency() -> None:
    """A package that is only a dependency of a dependency can disappear with it."""
    extras = PROJECT["optional-dependencies"]
    declared = distributions([*PROJECT["dependencies"], *(r for name in extras if name != "dev" for r in extras[name])])
    known = packages_distributions()
    missing = set()
    for path in MODULES:
        for line, module in imports(path.read_text(encoding="utf-8")):
            top = module.split(".")[0]
            if top in sys.stdlib_module_names or top == "voicemill":
                continue
            owners = distributions(known.get(top, [top]))
            if not owners & declared:
                missing.add(f"{name(path)}:{line} imports {top}, of {sorted(owners)}")
    assert missing == set()


def test_files_stay_short() -> None:
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    stages = {
        name(path) for path in MODULES if re.search(r"^STAGE\b.*= Stage\(", path.read_text(encoding="utf-8"), re.M)
    }
    assert {file: lines for file, lines in lengths.items() if lines > LONGEST} == {}
    assert {file: lengths[file] for file in stages if lengths[file] >= LONGEST_STAGE} == {}


def code_lines(path: Path) -> list[tuple[int, str]]:
    """Number and text of the lines of a file that are neither blank, nor a comment, nor part of an import."""
    source = path.read_text(encoding="utf-8")
    imported = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = ((number, line.strip()) for number, line in enumerate(source.splitlines(), start=1))
    return [(number, line) for number, line in lines if line and line[0] != "#" and number not in imported]


def repeats(files: Iterable[Path], most: int) -> list[str]:
    """Places that share `most` or more lines, imports and layout aside: "first file:line = second file:line"."""
    places: dict[tuple[str, ...], str] = {}
    found = []
    for path in files:
        lines = code_lines(path)
        skip_to = 0
        for at in range(len(lines) - most + 1):
            window = tuple(text for _, text in lines[at : at + most])
            place = f"{path}:{lines[at][0]}"
            if window in places and at >= skip_to:
                found.append(f"{places[window]} = {place}")
                skip_to = at + most
            places.setdefault(window, place)
    return found


def test_no_two_places_share_twelve_lines() -> None:
    """Tables of sentences are data."""
    files = [path for path in tracked() if path.suffix == ".py" and not path.stem.endswith("_sentences")]
    assert repeats(files, MOST_SHARED) == []


def test_a_repeat_is_seen(tmp_path: Path) -> None:
    lines = [f"x{number} = {number}" for number in range(6)]
    (tmp_path / "a.py").write_text("import a\n" + "\n".join(lines))
    (tmp_path / "b.py").write_text("import b\n\n\ndef f():\n" + "\n\n".join(f"    {line}" for line in lines))
    files = [tmp_path / "a.py", tmp_path / "b.py"]
    assert repeats(files, 6) == [f"{files[0]}:2 = {files[1]}:5"]
    assert repeats(files, 7) == []


def test_no_module_is_named_utils() -> None:
    assert [name(path) for path in MODULES if path.stem in {"utils", "util", "helpers", "misc", "common"}] == []


def test_every_module_has_a_docstring() -> None:
    silent = [name(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert silent == []


def test_the_licence_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text


def test_no_large_file_is_tracked() -> None:
    assert {name(path): path.stat().st_size for path in tracked() if path.stat().st_size > MAX_BYTES} == {}


PRIVATE = {
    "address of a package index": re.compile(
        r"https?://[\w.:@-]+(/[\w.-]+)*/simple\b|\b(files\.)?pythonhosted\.org|--(extra-)?index-url\s*[= ]\s*\S*//"
    ),
    "absolute path of a machine": re.compile(r"(?<![\w./}>~-])/(home|root|Users|work|mnt|workspace)/\w"),
}


def test_nothing_tracked_names_a_machine() -> None:
    """No address of a package index (the lock holds hashes alone), no path that exists on one machine."""
    found = []
    for path in tracked():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        if path == Path(__file__).resolve():
            continue
        found += [
            f"{name(path)}:{number}: {what}"
            for number, line in enumerate(lines, start=1)
            for what, pattern in PRIVATE.items()
            if pattern.search(line)
        ]
    assert found == []


def test_private_things_are_seen() -> None:
    index, path = PRIVATE.values()
    assert index.search("pip install -i https://mirror.example/pypi/simple torch")
    assert index.search("# from https://files.pythonhosted.org/packages/")
    assert not index.search("https://example.org/a-simple-guide")
    assert path.search('open("/home/anna/inbox")')
    assert path.search("cd /work/main")
    assert not path.search("../shared/work/plan and <store>/work/x")


def test_the_lock_holds_hashes_and_no_addresses() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    pins = re.findall(
        r"^([a-z0-9][a-z0-9.-]*(?:\[[^\]]*\])?==\S+)(?: ; [^\\\n]+)? \\\n    --hash=sha256:[0-9a-f]{64}", text, re.M
    )
    lines = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(pins) == len(lines) > 100
    assert sum(pin.startswith("torch==2.8.") for pin in pins) == 1
    assert sum(pin.startswith("setuptools==") for pin in pins) == 1


def test_the_lock_pins_every_dependency_that_pyproject_names() -> None:
    extras = PROJECT["optional-dependencies"]
    wanted = distributions([*PROJECT["dependencies"], *extras["demo"], *extras["compare"], *extras["dev"]])
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert wanted - set(re.findall(r"^([a-z0-9.-]+)(?:\[[^\]]*\])?==", lock, re.M)) == set()


def test_a_wheel_would_carry_every_file_of_the_packages() -> None:
    data = tomllib.loads(TOML)["tool"]["setuptools"]["package-data"]
    folders = {package: ROOT.joinpath(*package.split(".")) for package in data}
    carried = {
        file.resolve() for package, globs in data.items() for glob in globs for file in folders[package].glob(glob)
    }
    here = {
        path
        for path in tracked()
        if path.relative_to(ROOT).parts[0] in FLOORS and path.suffix not in (".py", ".md", ".png")
    }
    assert {name(path) for path in here - carried} == set()
