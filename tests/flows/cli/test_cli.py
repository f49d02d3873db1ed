"""The command line as a user meets it: help, JSON, messages, exit status. Refreshes are in test_refresh.py."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import typer.main
from support import factories as f

from voicemill.flows.cli.main import PANELS, app
from voicemill.flows.service import checks
from voicemill.model.audio.watermark import embed
from voicemill.model.embedded import EMBEDDED
from voicemill.storage.store import Store
from voicemill.storage.voices.notice import write_speech
from voicemill.tasks.config import SHIPPED, Config, load

ROOT = Path(__file__).parents[3]


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Words of every command and group, with the command."""
    todo: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(app))]
    while todo:
        words, command = todo.pop()
        yield words, command
        todo += [((*words, name), sub) for name, sub in getattr(command, "commands", {}).items()]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two corpus versions of made-up audio, the second with another speaker."""
    opened = Store.open(tmp_path_factory.mktemp("cli") / "store", create=True)
    batches = [f.make_batch(1, f.upload("ann", text="hello there")), f.make_batch(2, f.upload("zoë", 1, 4.0))]
    f.corpus(opened, batches[:1])
    f.corpus(opened, batches)
    return opened.root


# -- help


def test_every_command_and_option_has_help() -> None:
    seen = set()
    for words, command in commands():
        assert command.help, words
        seen.add(" ".join(words))
        for option in command.params:
            assert getattr(option, "help", None), (words, option.name)
    contract = {"refresh", "versions", "ledger", "consent", "forget", "report", "dashboard", "models", "config"}
    assert contract | {"doctor", "demo", "models list", "models fetch", "config show", "config check"} <= seen
    assert "watermark check" in seen


def test_help_takes_under_half_a_second_and_loads_nothing_heavy() -> None:
    """Best of five CPU times, because other processes can only make them longer."""
    code = (
        "import sys, voicemill.flows.cli.main\n"
        "sys.argv = ['voicemill', '--help']\n"
        "try: voicemill.flows.cli.main.main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    best = float("inf")
    for _ in range(5):
        before = os.times()
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        after = os.times()
        best = min(best, after.children_user + after.children_system - before.children_user - before.children_system)
    assert "refresh" in done.stdout
    heavy = {
        "torch",
        "prefect",
        "pandas",
        "pyarrow",
        "numpy",
        "librosa",
        "scipy",
        "matplotlib",
        "deltalake",
        "pydantic",
    }
    assert heavy & set(done.stderr.split()) == set()
    assert best < 0.5


def test_help_lists_every_command_once_in_the_order_of_use() -> None:
    panels = [name for panel in PANELS.values() for name in panel]
    root = typer.main.get_command(app)
    assert panels == root.list_commands(None)  # type: ignore[attr-defined, arg-type]
    assert len(panels) == len(set(panels))
    assert panels[0] == "refresh"


def test_no_line_of_the_help_is_cut() -> None:
    """The first sentence of every command fits a terminal of 80 columns."""
    for words, command in commands():
        assert not words or not command.get_short_help_str(80 - 6 - 9).endswith("..."), words


def test_help_version_and_an_unknown_command(alone) -> None:
    short = alone("-h").out
    assert short == alone("--help").out
    headings = [line for line in short.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Options:", "Corpus:", "Voices:", "Service:", "Setup:"]
    assert alone("refresh", "-h").out == alone("refresh", "--help").out
    assert alone("--version").out == f"voicemill {version('voicemill')}\n"
    assert "No such command 'refesh'" in alone("refesh", status=2).err


# -- what a machine reads


def sound(path: Path) -> Path:
    """Two seconds of noise with the watermark and the notice."""
    wave = np.random.default_rng(0).normal(0, 0.1, 64_000).astype(np.float32)
    return write_speech(path, embed(wave, 77), 32_000)


def talk(path: Path) -> Path:
    """The same, with two turns beside it."""
    lines = ("SPEAKER talk 1 0.1 0.8 <NA> <NA> ann <NA> <NA>", "SPEAKER talk 1 1.0 0.5 <NA> <NA> bo <NA> <NA>")
    path.with_suffix(".rttm").write_text("\n".join(lines))
    return sound(path)


JSON_CALLS: dict[tuple[str, ...], Callable[[Path], list[object]]] = {
    ("versions",): lambda store: ["--store", store],
    ("ledger",): lambda store: ["--store", store],
    ("status",): lambda store: ["--store", store],
    ("check",): lambda store: ["--store", store],
    ("consent", "list"): lambda store: ["--store", store],
    ("models", "list"): lambda store: ["--config", "production"],
    ("config", "show"): lambda store: [],
    ("doctor",): lambda store: ["--store", store],
    ("watermark", "check"): lambda store: [sound(store.parent / "sound.flac")],
    ("diarise",): lambda store: [talk(store.parent / "talk.flac")],
}


def test_the_json_of_every_command_is_tested() -> None:
    """Commands not in JSON_CALLS are tested in files of their own, such as test_refresh.py and test_promote.py."""
    have = {words for words, command in commands() if any("--json" in p.opts for p in command.params)}
    elsewhere = {("refresh",), ("forget",), ("speak",), ("train",), ("up",), ("upload",), ("distill",), ("compress",)}
    elsewhere |= {("evaluate",), ("ab",), ("produce",), ("aligner", "train"), ("demo-corpus",)}
    elsewhere |= {("voices", word) for word in ("list", "show", "promote", "retire", "rollback")}
    assert have == JSON_CALLS.keys() | elsewhere


@pytest.mark.parametrize("words", JSON_CALLS)
def test_json_prints_json_alone(alone, store: Path, words: tuple[str, ...]) -> None:
    ran = alone(*words, *JSON_CALLS[words](store), "--json")
    assert ran.err == ""
    assert isinstance(ran.json, list | dict)


def test_versions(here, store: Path) -> None:
    found = here("versions", "--store", store, "--json").json
    assert [version["number"] for version in found] == [1, 2]
    assert [version["counts"]["speakers"] for version in found] == [1, 2]
    out = here("versions", "--store", store).out
    assert "corpus versions" in out


def test_versions_of_a_new_store_say_what_to_do(here, tmp_path: Path) -> None:
    Store.open(tmp_path / "new", create=True)
    assert here("versions", "--store", tmp_path / "new", "--json").json == []
    assert "voicemill refresh --inbox" in " ".join(here("versions", "--store", tmp_path / "new").out.split())


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("outcome", {"kept", "silence"}),
        ("reason", {"", "no_speech"}),
        ("stage", {"", "slice"}),
        ("speaker", {"ann", "zoë"}),
        ("path", {"ann/0.wav", "zoë/1.wav"}),
    ],
)
def test_ledger(here, store: Path, by: str, names: set[str]) -> None:
    lines = here("ledger", "--store", store, "--by", by, "--json").json
    assert {line["name"] for line in lines} == names
    assert sum(line["seconds"] for line in lines) == pytest.approx(10.0)


def test_ledger_of_one_version_and_one_speaker(here, store: Path) -> None:
    first = here("ledger", "--store", store, "--version", 1, "--json").json
    mine = here("ledger", "--store", store, "--speaker", "ann", "--json").json
    assert first == mine
    assert sum(line["seconds"] for line in first) == pytest.approx(6.0)


def test_check_names_what_is_damaged(here, store: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(store, tmp_path / "store"))
    path = min((copy / "tables" / "ledger").rglob("*.parquet"))
    os.truncate(path, 100)
    found = here("check", "--store", copy, "--json", status=1).json
    assert [damage["path"] for damage in found["damage"]] == [path.relative_to(copy).as_posix()]
    ran = here("check", "--store", copy, status=1)
    assert ran.out.startswith(f"damaged: {found['damage'][0]['path']} has 100 bytes, and ")
    ran = here("ledger", "--store", copy, status=2)
    assert f"`voicemill check --store {copy} --repair`" in ran.err


def test_consent_for_a_whole_inbox_leaves_refusals(here, tmp_path: Path) -> None:
    """Several speakers by name; all of an inbox who said neither yes nor no, by their folders and metadata."""
    inbox, where = tmp_path / "inbox", ("--store", tmp_path / "store")
    for name in ("ann", "bob", "cem", "dora"):
        (inbox / name).mkdir(parents=True)
        soundfile.write(inbox / name / "a.wav", np.zeros(1600, np.float32), 16_000)
    (inbox / "dora" / "metadata.csv").write_text("speaker,file\nEve O'Neil,a.wav\n")
    (inbox / "consents.csv").write_text("speaker,consent\nbob,no\n")
    here("consent", "withdraw", "--speaker", "cem", *where)
    out = here("consent", "grant", "--all-in", inbox, *where, "--note", "signed").out
    assert "consent of 'ann' recorded" in out
    assert "'bob' has a recorded refusal" in out
    assert "'cem' has a recorded refusal" in out
    records = here("consent", "list", *where, "--json").json
    assert {row["speaker"]: row["granted"] for row in records} == {"cem": False, "ann": True, "Eve O'Neil": True}
    assert "nothing recorded" in here("consent", "grant", "--all-in", inbox, *where).out
    here("consent", "grant", "--speaker", "bob", "--speaker", "cem", *where)
    records = here("consent", "list", *where, "--json").json
    assert [(row["speaker"], row["granted"]) for row in records][-2:] == [("bob", True), ("cem", True)]
    ran = here("consent", "grant", *where, status=2)
    check_message(ran)
    assert "--all-in" in ran.err


def test_consent_grant_list_withdraw(here, tmp_path: Path) -> None:
    where = ("--store", tmp_path / "store")
    here("consent", "grant", "--speaker", "Ann O'Neil", *where, "--note", "signed, folder 7")
    out = here("consent", "withdraw", "--speaker", "Ann O'Neil", *where).out
    assert """voicemill forget --speaker 'Ann O'"'"'Neil'""" in out
    found = here("consent", "list", *where, "--json").json
    assert [(r["speaker"], r["granted"], r["note"]) for r in found] == [
        ("Ann O'Neil", True, "signed, folder 7"),
        ("Ann O'Neil", False, ""),
    ]


def test_report_prints_its_path(here, store: Path) -> None:
    path = Path(here("report", "--store", store, "--version", 1).out.strip())
    assert "version 1" in path.read_text("utf-8")


def test_forget_asks_first(alone, here, store: Path) -> None:
    with alone.start("forget", "--speaker", "ann", "--store", store) as process:
        process.communicate("n\n", timeout=60)
    assert process.returncode == 1
    assert here("versions", "--store", store, "--json").json[1]["counts"]["speakers"] == 2


# -- the watermark


def test_watermark_check_of_marked_and_unmarked_files(here, tmp_path: Path) -> None:
    found = here("watermark", "check", sound(tmp_path / "a.flac"), "--json").json
    assert found["synthetic"] is True
    assert (found["watermark"]["present"], found["watermark"]["payload"]) == (True, 77)
    assert "trainedAlgorithmicMedia" in found["notice"]["comment"]
    out = here("watermark", "check", tmp_path / "a.flac").out
    assert "watermark: found in 0.0 s to 2.0 s, id 77" in out
    assert "trainedAlgorithmicMedia" in out
    other = here("watermark", "check", tmp_path / "a.flac", "--key", "mine", "--json").json
    assert other["watermark"]["present"] is False
    assert other["synthetic"] is True  # by the notice

    noise = np.random.default_rng(1).normal(0, 0.1, 96_000)
    soundfile.write(tmp_path / "b.wav", noise, 48_000)
    found = here("watermark", "check", tmp_path / "b.wav", "--json").json
    assert (found["synthetic"], found["watermark"]["payload"], found["notice"]) == (False, None, None)
    assert "not found" in here("watermark", "check", tmp_path / "b.wav").out


@pytest.mark.parametrize(("content", "said"), [(None, "is not a file"), (b"no sound", "no decoder")])
def test_watermark_check_of_what_is_no_sound(here, tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "a.wav"
    if content:
        path.write_bytes(content)
    ran = here("watermark", "check", path, status=2)
    check_message(ran)
    assert said in ran.err


# -- configs and models


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*.toml")))
def test_every_shipped_config_loads_and_shows_itself(here, name: str, tmp_path: Path) -> None:
    """The output of `config show` reads back as the same config."""
    out = here("config", "show", "--config", name).out
    path = tmp_path / "shown.toml"
    path.write_text(out, encoding="utf-8")
    assert load(path) == load(name)
    shown = tomllib.loads(out)
    assert list(shown) == list(Config.model_fields)
    assert here("config", "show", "--config", name, "--json").json == load(name).model_dump(mode="json")


def test_config_show_explains_every_setting(here) -> None:
    out = here("config", "show").out
    for section in Config.model_fields:
        for setting, field in type(getattr(Config(), section)).model_fields.items():
            assert field.description, f"{section}.{setting}"
            assert field.description.splitlines()[0] in out


def test_config_check_of_the_default(here) -> None:
    assert "valid" in here("config", "check").out
    assert "valid" in here("config", "check", "default").out


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[loudness]\ntarget = -23\n", "loudness.target"),
        ("[lowdness]\ntarget_lufs = -23\n", "lowdness"),
        ("[loudness]\ntarget_lufs = 400\n", "loudness.target_lufs"),
        ("[f0]\nengine = 'guess'\n", "f0.engine"),
        ("[run]\nworkers = 'many'\n", "run.workers"),
        ("loudness = -23", "loudness"),
        ("this is not TOML", "TOML"),
        ("\udcff".encode("utf-8", "surrogateescape").decode("latin-1"), "TOML"),
    ],
)
def test_a_wrong_config_is_one_message_that_names_the_setting(
    here, configured: Callable[[str], Path], text: str, named: str
) -> None:
    ran = here("config", "check", configured(text), status=2)
    check_message(ran)
    assert named in ran.err


def test_a_config_that_is_not_there(here) -> None:
    ran = here("config", "check", "prodction", status=2)
    check_message(ran)
    assert "'prodction'" in ran.err
    assert "production" in ran.err


def test_embedded_models_are_listed_with_what_a_user_must_know_of_them(here) -> None:
    listed = here("models", "list", "--json").json
    assert listed["named"] == []  # the default config has no model to download
    rows = {row["name"]: row for row in listed["embedded"]}
    assert set(rows) == set(EMBEDDED)
    for name, row in rows.items():
        assert (row["digest"], row["wheel"], row["state"]) == (EMBEDDED[name].digest, EMBEDDED[name].wheel, "installed")
        assert row["install"].endswith(row["wheel"])
        assert all(row[field] for field in ("task", "licence", "origin", "size"))
    out = here("models", "list").out
    for row in rows.values():
        assert all(str(row[field]) in out for field in ("name", "task", "licence", "origin", "wheel"))
        assert row["digest"][:12] in out
    assert "names no other model" in out


def test_an_embedded_model_that_is_missing_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = replace(EMBEDDED["ge2e"], package="no_such_package")
    monkeypatch.setattr("voicemill.model.embedded.EMBEDDED", {"ge2e": absent})
    monkeypatch.setattr("voicemill.flows.service.checks.EMBEDDED", {"ge2e": absent})
    app(["models", "list"], standalone_mode=False)
    assert f"install ge2e: {absent.install_command}" in capsys.readouterr().out
    (check,) = (check for check in checks.run_checks(None) if check.name == "embedded models")
    assert (check.fine, check.found) == (False, "missing: ge2e")
    assert absent.install_command in check.mend


def test_models_missing_are_listed_with_the_command_that_fetches_them(alone, tmp_path: Path) -> None:
    cache = {"HF_HOME": str(tmp_path), "TORCH_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path)}
    listed = alone("models", "list", "--config", "production", "--json", **cache).json["named"]
    named = {row["setting"]: row["model"] for row in listed}
    assert named["content.model"] == "TencentGameMate/chinese-hubert-base"
    assert {"transcribe.model", "align.models.en", "align.models.zh"} <= named.keys()
    assert {row["path"] for row in listed} == {None}
    out = alone("models", "list", "--config", "production", **cache).out
    assert "voicemill models fetch --config production" in " ".join(out.split())


def test_a_missing_model_stops_a_refresh_before_it_starts(alone, inbox, tmp_path: Path) -> None:
    cache = {"HF_HOME": str(tmp_path), "TORCH_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path)}
    words = ("refresh", "--inbox", inbox.root, "--store", tmp_path / "store", "--config", "production")
    ran = alone(*words, status=2, **cache)
    check_message(ran)
    assert "voicemill models fetch" in ran.err
    assert not (tmp_path / "store").exists()


# -- doctor


def test_doctor_finds_this_machine_fit(alone, store: Path) -> None:
    found = {check["name"]: check for check in alone("doctor", "--store", store, "--json").json}
    assert all(check["fine"] for check in found.values())
    assert found["store"]["found"].endswith("corpus version 2")
    assert {"python", "prefect", "fastapi", "sqlalchemy", "cores", "memory", "disk", "prefect server"} <= found.keys()
    assert found["embedded models"]["found"] == ", ".join(EMBEDDED)


def test_doctor_says_what_mends_it(alone, tmp_path: Path) -> None:
    ran = alone("doctor", "--store", tmp_path, status=1)
    assert "is not a voicemill store" in " ".join(ran.out.split())
    ran = alone("doctor", status=1, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert "unset PREFECT_API_URL" in " ".join(ran.out.split())


PROXIES = {
    "HTTP_PROXY": "http://user:secret@127.0.0.1:9",
    "all_proxy": "socks5://127.0.0.1:9",
    "NO_PROXY": "example.org",
}
"""Proxies that answer nobody."""


def test_servers_of_this_machine_are_asked_without_a_proxy(alone, cli, inbox, tmp_path: Path) -> None:
    store = tmp_path / "st%20 ore\\"  # and at a path that delta-rs would decode
    refreshed = alone("refresh", "--inbox", inbox.root, "--store", store, "--json", **PROXIES)
    assert refreshed.json["version"] == 1
    url = cli.environment["PREFECT_API_URL"]
    ran = alone("doctor", "--store", store, "--json", PREFECT_API_URL=url, **PROXIES)
    found = {check["name"]: check for check in ran.json}
    assert found["prefect server"]["found"] == url
    assert "HTTP_PROXY=http://127.0.0.1:9, all_proxy=socks5://127.0.0.1:9" in found["proxy"]["found"]
    assert "secret" not in ran.out


def test_a_proxy_that_no_client_can_use_is_one_clear_error(alone, inbox, tmp_path: Path) -> None:
    words = ("refresh", "--inbox", inbox.root, "--store", tmp_path / "store")
    ran = alone(*words, status=2, ALL_PROXY="socks4://me:secret@127.0.0.1:9")
    check_message(ran)
    assert "expected one of http, https, socks5, socks5h" in ran.err
    assert "unset ALL_PROXY" in ran.err
    assert "secret" not in ran.err


def test_damage_is_found_where_a_whole_check_is_asked_for(alone, cli, inbox, store: Path, tmp_path: Path) -> None:
    """The doctor, and `refresh --check` before it begins, name the file and the command."""
    damaged = shutil.copytree(store, tmp_path / "store")
    shard = next((damaged / "tables" / "utterances").rglob("*.parquet"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    doctor = " ".join(alone("doctor", "--store", damaged, status=1).out.split())
    refused = cli("refresh", "--inbox", inbox, "--store", damaged, "--check", status=2).err
    for text in (doctor, refused):
        assert shard.name in text.replace("\n", "").replace(" ", "")
        assert f"voicemill check --store {damaged} --repair" in " ".join(text.split())
    assert len(list((damaged / "tables" / "versions").glob("*.parquet"))) == 2


# -- errors


def check_message(ran: Any) -> None:
    """Check that an error is one message on stderr, without a traceback."""
    assert ran.out == ""
    assert ran.err.startswith("voicemill: ")
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("command", ["versions", "ledger", "report", "forget", "dashboard"])
def test_a_folder_that_is_no_store(alone, tmp_path: Path, command: str) -> None:
    extra = ("--speaker", "ann", "--yes") if command == "forget" else ()
    ran = alone(command, "--store", tmp_path / "nowhere", *extra, status=2)
    check_message(ran)
    assert "voicemill refresh --store" in ran.err
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_with_something_else_in_it_is_not_taken_for_a_store(alone, inbox, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    ran = alone("refresh", "--inbox", inbox.root, "--store", tmp_path / "letters", status=2)
    check_message(ran)
    assert "not empty" in ran.err


@pytest.mark.parametrize("number", [3, 0, -1])
def test_a_version_that_is_missing(here, store: Path, number: int) -> None:
    ran = here("ledger", "--store", store, "--version", number, status=2)
    check_message(ran)
    assert f"no corpus version {number}; it has versions 1 to 2" in ran.err


def test_a_column_that_the_ledger_lacks(here, store: Path) -> None:
    ran = here("ledger", "--store", store, "--by", "colour", status=2)
    check_message(ran)
    assert "outcome" in ran.err


def test_an_unknown_speaker_cannot_be_forgotten(alone, store: Path) -> None:
    ran = alone("forget", "--speaker", "bob", "--store", store, "--yes", status=2)
    check_message(ran)
    assert "'bob'" in ran.err


def test_an_inbox_that_is_missing(cli, tmp_path: Path) -> None:
    ran = cli("refresh", "--inbox", tmp_path / "nowhere", "--store", tmp_path / "store", status=2)
    check_message(ran)
    assert "nowhere" in ran.err


def test_a_server_that_does_not_answer(alone, inbox, tmp_path: Path) -> None:
    words = ("refresh", "--inbox", inbox.root, "--store", tmp_path / "store")
    ran = alone(*words, status=2, PREFECT_API_URL="http://127.0.0.1:9/api")
    check_message(ran)
    assert "unset PREFECT_API_URL" in ran.err
