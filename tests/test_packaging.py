"""The distribution: what a wheel and an sdist carry, and that a user's own `flows`, `tasks` and so on do not matter.

Every install is a real one, into an environment of its own that sees the dependencies of this one.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import factories, tiny_voice

from voicemill.storage.store import Store

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("flows", "tasks", "model", "storage")
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
USERS_OWN = ("storage.py", "flows/__init__.py", "tasks.py", "model.py")
NAMES = """
from voicemill import CorpusVersion, SpeakOptions, Store, __version__, load_voice

voice = load_voice("s1.safetensors", "s2.safetensors", content="mfcc")
assert __version__ == "{version}", __version__
assert SpeakOptions().watermark is not None
"""
SDIST = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"


@dataclass(frozen=True)
class Environment:
    """A virtual environment with voicemill in it."""

    root: Path

    @property
    def python(self) -> Path:
        return self.root / "bin" / "python"

    @classmethod
    def create(cls, root: Path, *requirement: str | Path) -> "Environment":
        """An environment without pip that sees the packages of this one, but not the voicemill installed among them.

        A path in a .pth file is added as it is: the .pth file of an editable voicemill that lies there is not read.
        """
        venv.create(root)
        site = Path(sysconfig.get_path("purelib", "venv", {"base": str(root), "platbase": str(root)}))
        others = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
        (site / "dependencies.pth").write_text("\n".join(others) + "\n")
        environment = cls(root)
        pip = (sys.executable, "-m", "pip", "--python", environment.python, "install", "-q", "--no-deps")
        run(*pip, "--no-build-isolation", *requirement, cwd=root)
        return environment


def run(*command: str | Path, cwd: Path) -> str:
    """Output of a command that finds voicemill by its installation alone."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PREFECT"))}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment | OFFLINE, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the files that git knows: building writes beside them."""
    root = tmp_path_factory.mktemp("tree") / "voicemill"
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, listing.split("\0")):
        if os.path.lexists(ROOT / name):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name, follow_symlinks=False)
    return root


@pytest.fixture(scope="module")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-c", SDIST, folder, cwd=tree)
    (path,) = folder.glob("*.tar.gz")
    return path


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist, as an index does."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", sdist, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the wheel, or with an editable install of the tree."""
    root = tmp_path_factory.mktemp("venv") / "venv"
    if request.param == "wheel":
        return Environment.create(root, request.getfixturevalue("wheel"))
    return Environment.create(root, "-e", request.getfixturevalue("tree"))


installs = pytest.mark.parametrize("environment", ["wheel", "editable"], indirect=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's folder whose modules have the names of the four floors, with a store and a voice in it."""
    for name in USERS_OWN:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f'raise RuntimeError("the user\'s own {name} was imported")\n')
    store = Store.open(tmp_path / "demo" / "store", create=True)
    assert factories.corpus(store, [factories.make_batch(1, factories.upload("ann"))]) is not None
    tiny_voice.write_s1(tmp_path / "s1.safetensors")
    tiny_voice.write_s2(tmp_path / "s2.safetensors")
    return tmp_path


def package_data() -> set[str]:
    """Every file of the floors that is neither code nor a manual, by its path in the package."""
    listing = subprocess.run(["git", "ls-files", *FLOORS], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    skipped = (".py", ".md", ".png")
    return {f"voicemill/{name}" for name in listing.splitlines() if not name.endswith(skipped)}


def test_the_wheel_carries_the_package_and_its_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"voicemill"}
    modules = {f"voicemill/{path.relative_to(ROOT)}" for floor in FLOORS for path in (ROOT / floor).rglob("*.py")}
    data = package_data()
    assert {"voicemill/flows/prefect.yaml", "voicemill/flows/automations.json"} < data
    assert (modules | data | {"voicemill/__init__.py", "voicemill/py.typed"}) - names == set()


def test_the_sdist_holds_each_module_once(sdist: Path) -> None:
    with tarfile.open(sdist) as file:
        tops = {member.name.split("/")[1] for member in file.getmembers() if "/" in member.name}
    assert "voicemill" in tops
    assert tops & set(FLOORS) == set()


@installs
def test_the_example_of_the_readme_runs_beside_a_users_own_modules(environment: Environment, project: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    # python -c puts the folder itself in front of everything, as a notebook does
    run(environment.python, "-c", example, cwd=project)
    version = run(environment.python, "-c", "import voicemill; print(voicemill.__version__)", cwd=project).strip()
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    run(environment.python, "-c", NAMES.format(version=version), cwd=project)


@installs
def test_the_command_runs_beside_a_users_own_modules(environment: Environment, project: Path) -> None:
    script = environment.root / "bin" / "voicemill"
    assert "refresh" in run(script, "--help", cwd=project)
    assert re.fullmatch(r"voicemill \d+\.\d+\.\d+\n", run(script, "--version", cwd=project))
    # with -m the folder itself comes first
    words = ("-m", "voicemill.flows.cli.main", "versions", "--store", "demo/store", "--json")
    versions = json.loads(run(environment.python, *words, cwd=project))
    assert [version["number"] for version in versions] == [1]
