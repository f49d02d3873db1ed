"""The command line as a user runs it, a Prefect server, a small inbox of synthetic speech, and stores grown from it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.configs import plain
from support.made_once import made_once
from support.refreshed_store import RefreshedStore
from support.server_database import server_database, with_database
from support.small_disk import Disk, small_disk
from support.tiny_voice import VOICE_TOML

ROOT = Path(__file__).parents[2]
SPEECH = ROOT.parent / "shared" / "speech"
"""Real recordings; a user's clone does not have them."""
REFRESHING = frozenset({"refresh", "up", "produce"})
"""Commands that prepare recordings: here without models, unless a test names a config."""
COMMAND = (sys.executable, "-m", "voicemill.flows.cli.main")


@dataclass(frozen=True)
class Cli:
    """Runs `voicemill` in a process of its own."""

    environment: dict[str, str]

    def start(self, *arguments: object, command: Sequence[str] = COMMAND, **extra: str) -> subprocess.Popen[str]:
        """Start a command and return at once; `extra` goes to its environment."""
        if arguments[0] in REFRESHING and "--config" not in arguments and not {"-h", "--help"} & set(arguments):
            arguments = (*arguments, "--config", "plain")
        command = [*command, *map(str, arguments)]
        environment = self.environment | extra
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a background job children would inherit SIG_IGN
            signal.signal(signal.SIGINT, signal.default_int_handler)
        # a process group of its own, so that a test sends Ctrl-C to the command and not to itself
        return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **pipes)

    def __call__(
        self,
        *arguments: object,
        status: int = 0,
        command: Sequence[str] = COMMAND,
        timeout: float = 600,
        **extra: str,
    ) -> "CommandOutput":
        """Run a command to its end; its exit status must be `status`."""
        with self.start(*arguments, command=command, **extra) as process:
            out, err = process.communicate(timeout=timeout)
        assert process.returncode == status, f"exit {process.returncode}\n{out}\n{err}"
        return CommandOutput(out, err)

    def refresh(
        self, inbox: Path, store: Path, *arguments: object, command: Sequence[str] = COMMAND, **extra: str
    ) -> dict[str, Any]:
        """JSON of a refresh, which must succeed and print nothing else."""
        output = self("refresh", "--inbox", inbox, "--store", store, "--json", *arguments, command=command, **extra)
        assert output.err == ""
        return output.json


@dataclass(frozen=True)
class CommandOutput:
    """Output of a command."""

    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Inbox:
    """A copy of the small inbox, for a test to change."""

    root: Path
    spare: Path = field(repr=False)
    """A recording outside the inbox."""

    def add_spare(self, name: str = "ann/spare.wav") -> Path:
        """Put the spare recording into the inbox."""
        return Path(shutil.copy(self.spare, self.root / name))


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Database of a private server that was started once, for `with_database`."""
    return server_database(tmp_path_factory)


@pytest.fixture(scope="session")
def cli(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """The command line, connected to one private server for the session."""
    from voicemill.flows.service.server import PrivateServer
    from voicemill.storage.store import Store

    server = PrivateServer(Store.open(with_database(tmp_path_factory.mktemp("server") / "store", database)))
    # a device lock of this worker's own: trainings of the other workers do not wait for those of this one
    own = {"PYTHONPATH": str(ROOT), "VOICEMILL_LOCKS": str(tmp_path_factory.mktemp("locks"))}
    try:
        server.wait()
        yield Cli(os.environ | server.settings | own)
    finally:
        server.stop()


@pytest.fixture(scope="session")
def alone() -> Cli:
    """The command line without a server: each command starts its own."""
    return Cli({name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"})


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., CommandOutput]:
    """Runs `voicemill` in the process of the test: for commands that start no flow and leave nothing behind in it."""
    from voicemill.flows.cli.main import main

    def run(*arguments: object, status: int = 0) -> CommandOutput:
        monkeypatch.setattr(sys, "argv", ["voicemill", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        output = CommandOutput(*capfd.readouterr())
        assert (ended.value.code or 0) == status, f"exit {ended.value.code}\n{output.out}\n{output.err}"
        return output

    return run


TEXTS = {
    "ann": (
        "en",
        "en-us+f3",
        ["The morning train was late again and nobody minded.", "She keeps a small garden behind the house."],
    ),
    "bob": (
        "en",
        "en-us+m3",
        ["Please bring the heavy box to the second floor.", "We talked about the weather for an hour."],
    ),
    "cem": ("de", "de+m2", ["Der alte Mann am Hafen erzählt gern von seinen Reisen."]),
}
SPARE = "Tomorrow we will paint the kitchen wall in a brighter colour."


@pytest.fixture(scope="session")
def synthesised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three speakers, six uploads of some seconds; one English upload has a transcript of two sentences."""
    return made_once(tmp_path_factory, "synthesised", write_inbox)[0] / "inbox"


def write_inbox(parent: Path) -> None:
    """`inbox`, and beside it the recording `spare.wav` that a test may add."""
    import numpy as np
    import soundfile

    from voicemill.flows.demo.voice import RATE, Line, speak

    folder = parent / "inbox"
    folder.mkdir()
    rng = np.random.default_rng(5)

    def write(name: str, texts: list[str], voice: str, rate: int = 160) -> None:
        pause = np.zeros(RATE * 9 // 10, np.float32)
        parts = [
            part
            for wave in speak([Line(text=text, voice=voice, rate=rate, pitch=50, range=50) for text in texts])
            for part in (pause, wave)
        ]
        wave = np.concatenate([*parts, pause])
        wave = wave * (0.1 / np.sqrt(np.mean(wave**2))) + rng.normal(0, 0.002, len(wave))
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / name, wave, RATE)

    for speaker, (_, voice, texts) in TEXTS.items():
        for number, text in enumerate(texts):
            write(f"{speaker}/{number}.wav", [text], voice)
            (folder / speaker / f"{number}.txt").write_text(text, encoding="utf-8")
    write("ann/both.wav", TEXTS["ann"][2], "en-us+f3", rate=150)  # else the same audio would be heard again
    (folder / "ann" / "both.txt").write_text(" ".join(TEXTS["ann"][2]), encoding="utf-8")
    rows = [f"{s},{s}/{n}.wav,{lang},\n" for s, (lang, _, texts) in TEXTS.items() for n in range(len(texts))]
    (folder / "metadata.csv").write_text("speaker,file,language,text\n" + "".join([*rows, "ann,ann/both.wav,en,\n"]))
    (folder / "consents.csv").write_text("speaker,consent,note\n" + "".join(f"{s},yes,signed\n" for s in TEXTS))
    write("spare.wav", [SPARE], "en-us+f3")
    (folder / "spare.wav").rename(parent / "spare.wav")


@pytest.fixture
def inbox(synthesised: Path, tmp_path: Path) -> Inbox:
    """The small inbox, copied with its times."""
    return Inbox(Path(shutil.copytree(synthesised, tmp_path / "inbox")), synthesised.parent / "spare.wav")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk of 8 MB."""
    with small_disk(tmp_path / "disk") as mounted:
        yield mounted


@pytest.fixture
def configured(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a config file with this text."""

    def write(text: str) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture(scope="session")
def refreshed(
    alone: Cli, synthesised: Path, database: Path, tmp_path_factory: pytest.TempPathFactory
) -> RefreshedStore:
    """The small inbox, in four batches, after a first refresh with a server of its own. To be copied, not changed."""

    def make(folder: Path) -> dict[str, Any]:
        inbox = Path(shutil.copytree(synthesised, folder / "inbox"))
        (folder / "config.toml").write_text(plain("[batches]\nminutes = 0.2\n"))
        store = with_database(folder / "store", database)
        return alone.refresh(inbox, store, "--config", folder / "config.toml")

    folder, summary = made_once(tmp_path_factory, "refreshed", make)
    return RefreshedStore(folder / "inbox", folder / "store", folder / "config.toml", summary)


@pytest.fixture(scope="session")
def voiced(
    alone: Cli, refreshed: RefreshedStore, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RefreshedStore, dict[str, Any]]:
    """The refreshed store with a voice that was trained on ann by `VOICE_TOML`, and the JSON of that training.

    To be copied, not changed. Trainings are found again by their digests, so a copy does not train anew.
    """

    def make(folder: Path) -> dict[str, Any]:
        copied = refreshed.copy_to(folder)
        (folder / "training.toml").write_text(VOICE_TOML)
        words = ("train", "--store", copied.store, "--config", folder / "training.toml", "--speaker", "ann")
        trained: dict[str, Any] = alone(*words, "--if-new", "--json", VOICEMILL_LOCKS=str(folder)).json
        return trained

    folder, trained = made_once(tmp_path_factory, "voiced", make)
    store = RefreshedStore(folder / "inbox", folder / "store", folder / "config.toml", refreshed.summary)
    return store, trained
