"""`voicemill models fetch` against a hub on loopback: whole, interrupted, damaged, gated, unknown, out of reach."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from voicemill.model.hub import resolve

pytestmark = pytest.mark.slow  # each command is a process that imports the hub's client: 1 to 2 s

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = bytes(range(256)) * 90_000
"""23 MB: the client writes what it received in pieces of 10 MB."""
CONFIG = b'{"layers": 2}'
FILES = {"config.json": CONFIG, "model.safetensors": WEIGHTS, "model.h5": b"weights of another framework"}
HALF = len(WEIGHTS) // 2


class Hub(ThreadingHTTPServer):
    """A hub that serves one repository as the real one does: its list of files, then each file by HEAD and GET."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.ranges: list[str] = []
        """Ranges of the weights that were asked for; "" = all."""
        self.stall = self.damage = False
        self.halfway = threading.Event()
        """Set after half of the weights were sent, where the hub stalls there."""
        self.downloads: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answer(BaseHTTPRequestHandler):
    """One request to the hub."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:  # the name that http.server calls
        self.answer(b"")

    def do_GET(self) -> None:
        self.answer(None)

    def answer(self, body: bytes | None) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/org/"):
            repo, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            if repo not in ("org/tiny", "org/gated"):
                return self.refuse(401, "RepoNotFound")
            if revision not in ("main", COMMIT):
                return self.refuse(404, "RevisionNotFound")
            listing = {"id": repo, "sha": COMMIT, "siblings": [{"rfilename": name} for name in FILES]}
            return self.send(200, json.dumps(listing).encode(), {"Content-Type": "application/json"}, body)
        repo, _, rest = path.removeprefix("/").partition("/resolve/")
        if repo == "org/gated" and self.headers["Authorization"] != "Bearer accepted":
            return self.refuse(403, "GatedRepo")
        return self.file(rest.partition("/")[2], body)

    def file(self, name: str, body: bytes | None) -> None:
        data = FILES[name]
        headers = {"X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if name == "config.json":
            git = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
            headers["ETag"] = f'"{git}"'
        else:
            headers |= {"X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Linked-Size": str(len(data))}
        if body is not None:
            return self.send(200, data, headers, body)
        self.server.downloads.append(name)
        if name != "model.safetensors":
            return self.send(200, data, headers, None)
        asked = self.headers["Range"] or ""
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if self.server.damage:
            data = data[:-1] + b"?"
        if asked:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.start(206 if asked else 200, headers, len(data) - start)
        if self.server.stall:
            self.wfile.write(data[start:HALF])
            self.wfile.flush()
            self.server.halfway.set()
            threading.Event().wait(60)
        self.wfile.write(data[start:])

    def send(self, status: int, data: bytes, headers: dict[str, str], body: bytes | None) -> None:
        self.start(status, headers, len(data))
        self.wfile.write(data if body is None else body)

    def start(self, status: int, headers: dict[str, str], length: int) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetching(address: str, cache: Path, name: str, **more: str) -> "subprocess.Popen[str]":
    """The command in a process of its own, since the client reads its endpoint when it is imported."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_") and "PROXY" not in key.upper()}
    own = {"HF_ENDPOINT": address, "VOICEMILL_MODELS": str(cache), "HF_HOME": str(cache / "home")} | more
    own["XDG_CACHE_HOME"] = str(cache / "digests")
    command = [sys.executable, "-m", "voicemill.flows.cli.main", "models", "fetch", name]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=kept | own, stdout=pipe, stderr=pipe, text=True)


def fetched(hub: Hub, cache: Path, name: str = "org/tiny", status: int = 0, **more: str) -> str:
    """What the command prints: the result, or its error in one line."""
    with fetching(hub.address, cache, name, **more) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == status, err
    return " ".join((err if status else out).split())


def test_a_model_is_fetched_once_and_found(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(tmp_path) in fetched(hub, tmp_path)
    assert sorted(hub.downloads) == ["config.json", "model.safetensors"]  # nothing of frameworks that are not used
    monkeypatch.setenv("VOICEMILL_MODELS", str(tmp_path))
    folder = resolve("org/tiny", "content.model")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        "config.json": CONFIG,
        "model.safetensors": WEIGHTS,
    }
    fetched(hub, tmp_path)
    assert len(hub.downloads) == 2


def test_an_interrupted_download_resumes_where_it_stopped(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is killed after half of the weights; the library hides that where the hub is out of reach."""
    hub.stall = True
    with fetching(hub.address, tmp_path, "org/tiny") as process:
        assert hub.halfway.wait(60)
        for _ in range(600):
            if (kept := sum(file.stat().st_size for file in tmp_path.rglob("*.incomplete"))) or process.poll():
                break
            time.sleep(0.05)
        process.kill()
        process.communicate()
    hub.stall = False
    (unfinished,) = tmp_path.rglob("*.incomplete")
    kept = unfinished.stat().st_size
    gone = "http://127.0.0.1:9"
    assert "only partly" in fetched(hub, tmp_path, status=2, HF_ENDPOINT=gone)
    fetched(hub, tmp_path)
    assert kept > 0
    assert hub.ranges == ["", f"bytes={kept}-"]
    monkeypatch.setenv("VOICEMILL_MODELS", str(tmp_path))
    assert (resolve("org/tiny", "content.model") / "model.safetensors").read_bytes() == WEIGHTS


def test_bytes_that_the_hub_did_not_announce_are_refused_and_deleted(hub: Hub, tmp_path: Path) -> None:
    hub.damage = True
    error = fetched(hub, tmp_path, status=2)
    assert "the bytes of model.safetensors are not those that the hub announced" in error
    assert not list(tmp_path.rglob("*.safetensors"))
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and file.read_bytes()[:256] == WEIGHTS[:256]]
    hub.damage = False
    fetched(hub, tmp_path)


def test_a_gated_model_says_what_opens_it(hub: Hub, tmp_path: Path) -> None:
    error = fetched(hub, tmp_path, "org/gated", status=2)
    assert f"it is gated. Accept its terms at {hub.address}/org/gated, then set HF_TOKEN" in error
    assert str(tmp_path) in fetched(hub, tmp_path, "org/gated", HF_TOKEN="accepted")


def test_unknown_models_and_hubs_are_named(hub: Hub, tmp_path: Path) -> None:
    assert f"{hub.address} knows no such model" in fetched(hub, tmp_path, "org/other", status=2)
    assert "it has no revision 'v9'" in fetched(hub, tmp_path, "org/tiny@v9", status=2)
    gone = "http://127.0.0.1:9"
    assert f"{gone} cannot be reached" in fetched(hub, tmp_path, "org/other", status=2, HF_ENDPOINT=gone)
    assert not list(tmp_path.rglob("*.safetensors"))
