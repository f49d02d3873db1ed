"""Notices: written once each, without names, and sent to a webhook by a real server; who tells them."""

import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from support.configs import plain
from support.flow_runs import Runs
from support.prefect_server import ask
from support.refreshed_store import RefreshedStore

from voicemill.flows.service.deploy import TELLER, deploy_notices
from voicemill.flows.service.notices.log import Kind, Notice, notices_file, read_notices, tell
from voicemill.flows.service.notices.lookout import look_out
from voicemill.storage.corpus.versions import CorpusVersion
from voicemill.storage.errors import ConfigError
from voicemill.storage.store import Store
from voicemill.tasks.config import NotifySettings, load

pytestmark = pytest.mark.slow


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def kinds(store: Store) -> list[str]:
    return [notice.kind for notice in read_notices(store)]


def test_a_notice_is_written_once_and_survives_a_torn_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert read_notices(store) == []
    assert tell(store, Kind.DISK, "1.0 GB are free", "2026-11-30")
    assert not tell(store, Kind.DISK, "0.9 GB are free", "2026-11-30")
    with notices_file(store).open("a") as file:
        file.write('{"when": "2026')  # a crash in mid-write
    assert tell(store, Kind.LATE, "no refresh", "2026-11-30")
    assert [(n.kind, n.text) for n in read_notices(store)] == [
        ("disk nearly full", "1.0 GB are free"),
        ("refresh late", "no refresh"),
    ]


@pytest.fixture
def runs(cli: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    api = cli.environment["PREFECT_API_URL"]
    monkeypatch.setenv("PREFECT_API_URL", api)
    secret = cli.environment["PREFECT_API_AUTH_STRING"]
    here = temporary_settings({PREFECT_API_URL: api, PREFECT_API_AUTH_STRING: secret})
    with here, get_client(sync_client=True) as client:
        yield Runs(api, client, re.sub(r"\W+", "-", request.node.name))


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Address of a server, and the JSON of every POST that it received."""
    received: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", received
    server.shutdown()
    server.server_close()


def test_a_webhook_receives_each_notice(store: Store, runs: Runs, webhook: tuple[str, list[dict[str, Any]]]) -> None:
    address, received = webhook
    settings = NotifySettings(webhook=address)
    for _ in range(2):  # repeated, it changes nothing
        deploy_notices(runs.client, str(store.root), settings)
    assert len([a for a in ask(runs.api, "automations/filter") if a["name"] == TELLER]) == 1
    time.sleep(2)  # the server reads its automations
    text = 'quotes " and {{ braces }}, no name'
    assert tell(store, Kind.BREAKER, text, "3")
    end = time.monotonic() + 60
    while not received and time.monotonic() < end:
        time.sleep(0.2)
    (notice,) = read_notices(store)
    assert received == [{"kind": "breaker open", "text": text, "when": notice.when, "key": "breaker open: 3"}]
    deploy_notices(runs.client, str(store.root), NotifySettings())
    assert [a for a in ask(runs.api, "automations/filter") if a["name"] == TELLER] == []


def test_a_notification_block_of_the_config_receives_each_notice(
    store: Store, runs: Runs, webhook: tuple[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    address, received = webhook
    template = {"title": "{{subject}}", "text": "{{body}}", "sender": "{{name}}"}
    block = CustomWebhookNotificationBlock(name="voices", url=address, json_data=template)
    block.save("voices", overwrite=True)
    config = tmp_path / "notify.toml"
    config.write_text(plain('[notify]\nblock = "custom-webhook/voices"\n'))
    deploy_notices(runs.client, str(store.root), load(str(config)).notify)
    time.sleep(2)  # the server reads its automations
    for number in range(2):
        assert tell(store, Kind.LATE, f"no refresh within {number} days", str(number))
        assert not tell(store, Kind.LATE, "told again", str(number))
    end = time.monotonic() + 60
    while len(received) < 2 and time.monotonic() < end:
        time.sleep(0.2)
    deploy_notices(runs.client, str(store.root), NotifySettings())
    expected = {"title": "voicemill: refresh late", "sender": "voices"}
    texts = [f"no refresh within {number} days" for number in range(2)]
    assert sorted(received, key=lambda row: str(row["text"])) == [expected | {"text": text} for text in texts]


def test_an_unknown_block_is_refused(store: Store, runs: Runs) -> None:
    with pytest.raises(ConfigError, match="slack-webhook/voices"):
        deploy_notices(runs.client, str(store.root), NotifySettings(block="slack-webhook/nobody"))


def test_what_the_server_and_the_disk_tell(store: Store, runs: Runs) -> None:
    def look(**settings: float) -> list[str]:
        quiet = {"late_days": 1e4, "free_gb": 0.0}
        return list(look_out(runs.client, store, NotifySettings(**quiet | settings), [runs.pool]))

    assert look() == []
    failed, crashed, fine = runs.start(), runs.start(), runs.start()
    for run, state in ((failed, "FAILED"), (crashed, "CRASHED"), (fine, "COMPLETED")):
        runs.move(run, "PENDING", "RUNNING", state, message="ann/secret.wav")
    lines = look()
    assert [line.partition(":")[0] for line in lines] == ["run failed", "run crashed"]
    assert f"/v2/runs/flow-run/{failed}" in lines[0]
    assert "secret" not in notices_file(store).read_text()
    assert look() == []
    assert [line.partition(":")[0] for line in look(free_gb=1e9)] == ["disk nearly full"]
    flow = ask(runs.api, "flows/", name="refresh")["id"]
    done = ask(runs.api, "flow_runs/", flow_id=flow, state={"type": "COMPLETED"})["id"]
    assert ask(runs.api, f"flow_runs/{done}", "GET")["state_type"] == "COMPLETED"
    assert [line.partition(":")[0] for line in look(late_days=1e-9)] == ["refresh late"]
    assert look(late_days=1e-9) == []


def test_a_refresh_tells_what_it_could_not_use(cli: Any, refreshed: RefreshedStore, tmp_path: Path) -> None:
    copied = refreshed.copy_to(tmp_path)
    store = Store.open(copied.store)
    silence = np.zeros(32000, np.float32)
    soundfile.write(copied.inbox / "ann" / "silence.wav", silence, 16000)
    with Path(shutil.copy(copied.inbox / "ann" / "0.wav", copied.inbox / "ann" / "again.wav")).open("ab") as file:
        file.write(bytes(2))  # other bytes, the same samples
    (copied.inbox / "dan").mkdir()
    shutil.copy(next((copied.inbox / "ann").glob("*.wav")), copied.inbox / "dan" / "0.wav")
    config = tmp_path / "notices.toml"
    config.write_text(plain('[batches]\nminutes = 0.2\n[notify]\nwebhook = "http://127.0.0.1:9/secret"\n'))
    cli.refresh(copied.inbox, copied.store, "--config", config)
    rows = {row["path"]: row for row in CorpusVersion.open(store).uploads().to_pylist()}
    assert (rows["ann/again.wav"]["state"], rows["ann/again.wav"]["detail"]) == (
        "duplicate",
        "same samples as ann/0.wav",
    )
    assert sorted(kinds(store)) == ["consent missing", "nothing kept"]
    text = notices_file(store).read_text()
    assert "nothing of 1 of 1 new uploads was kept" in text
    assert not {"dan", "ann", "silence"} & set(re.findall(r"\w+", text))
    found = [path for path in copied.store.rglob("*") if path.is_file() and b"127.0.0.1:9/" in path.read_bytes()]
    assert found == []  # the address may hold a secret


def test_the_status_of_a_store_that_is_not_up(alone: Any, refreshed: RefreshedStore, tmp_path: Path) -> None:
    copied = refreshed.copy_to(tmp_path)
    store = Store.open(copied.store)
    line = Notice(when="2999-01-01T00:00:00+00:00", kind="breaker open", text="nothing was published", key="k")
    notices_file(store).parent.mkdir(exist_ok=True)
    notices_file(store).write_text(json.dumps(vars(line)) + "\n")
    shown = alone("status", "--store", copied.store).out
    for words in ("BREAKER OPEN: nothing was published", "voicemill up --store", "version 1 of", "3 speakers"):
        assert words in shown
    found = alone("status", "--store", copied.store, "--json").json
    assert (found["version"], found["url"], found["notices"][0]["kind"]) == (1, "", "breaker open")
    empty = alone("status", "--store", Store.open(tmp_path / "empty", create=True).root).out
    assert "no version yet" in empty


def test_the_manual_lists_every_kind() -> None:
    manual = (Path(__file__).parents[4] / "flows" / "README.md").read_text(encoding="utf-8")
    assert [kind.label for kind in Kind if f"| {kind.label} | " not in manual] == []
