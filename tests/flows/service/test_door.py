"""The private server to those who do not have its secret: other users, pages of other origins, rebound host names."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support import intruder
from support.prefect_server import CHROMIUM, ask, driven, dump, enter, get, secret_of

from voicemill.flows.service import access
from voicemill.flows.service.deploy import AUTOMATIONS
from voicemill.flows.service.server import PrivateServer
from voicemill.storage.errors import ServerError
from voicemill.storage.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    folder = tmp_path_factory.mktemp("door")
    for parent in (folder, *folder.parents[:2]):  # another user must fail at the secret, not at a folder above it
        parent.chmod(0o755)
    server = PrivateServer(Store.open(folder / "store", create=True))
    try:
        server.wait()
        yield server
    finally:
        server.stop()


def test_nobody_gets_in_without_the_secret(server: PrivateServer) -> None:
    assert intruder.breaches(server.url, server.store.root) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_would_be_seen_to_read_an_open_file(server: PrivateServer) -> None:
    """The attempt of another user can succeed: it does as soon as the file's mode is wrong."""
    path = access.secret_file(server.store)
    path.chmod(0o644)
    try:
        assert intruder.other_user(server.url, server.store.root) == ["another user: .secret is readable"]
    finally:
        path.chmod(0o600)


def test_the_owner_gets_in(server: PrivateServer) -> None:
    secret = access.read_secret(server.store)
    assert secret_of(server.url) == secret
    assert ask(f"{server.url}/api", "flows/filter") == []
    assert intruder.enter(server.url, secret) == 200
    origin = intruder.basic(secret) | {"Origin": server.url}
    status, _, headers = intruder.request(server.url, "GET", "/api/version", origin)
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, server.url)
    assert "img-src 'self' data: blob:;" in headers["Content-Security-Policy"]
    settings = get(f"{server.url}/ui-settings")
    assert (settings["auth"], settings["csrf_enabled"], settings["api_url"]) == ("BASIC", True, f"{server.url}/api")


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_dashboard_opens_without_a_question(server: PrivateServer, tmp_path: Path) -> None:
    assert "Login" in dump(f"{server.url}/v2/runs", tmp_path / "stranger", 20)
    shown = enter(server.url, tmp_path, tmp_path / "owner")
    assert "Run a task or flow to get started" in shown
    assert "Login" not in shown


HEARTBEAT = """
from voicemill.flows.service.client import prefect_api
from voicemill.storage.store import Store
with prefect_api(Store.open("STORE")):
    from prefect.settings import get_current_settings
    print(get_current_settings().flows.heartbeat_frequency)
"""


def test_a_flow_of_a_command_sends_heartbeats_as_often_as_the_rule_wants(server: PrivateServer) -> None:
    """On the private server, and on one that PREFECT_API_URL names."""
    (rule,) = [rule for rule in json.loads(AUTOMATIONS.read_text()) if rule["name"] == "crash zombie flows"]
    command = [sys.executable, "-c", HEARTBEAT.replace("STORE", str(server.store.root))]
    named = {"PREFECT_API_URL": server.settings["PREFECT_API_URL"]}
    for settings in ({}, named):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | settings
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert 3 * int(done.stdout) <= rule["trigger"]["within"]


class Page(BaseHTTPRequestHandler):
    """A page of another origin."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title>")

    def log_message(self, *arguments: object) -> None:
        pass


ATTEMPTS = """
(async () => {
  if (!location.href.startsWith("http")) await new Promise(() => {});  // ends with the empty page before ours
  const found = [], url = URL_, secret = SECRET_;
  const attempt = async (name, path, options) => {
    try {
      const answer = await fetch(url + path, options);
      found.push(`${name}: ${answer.status} ${(await answer.text()).slice(0, 7)}`);
    } catch {}
  };
  const auth = {Authorization: "Basic " + btoa(secret)};
  await attempt("simple", "/api/flows/filter", {method: "POST", body: "{}", headers: {"Content-Type": "text/plain"}});
  await attempt("read", "/api/version", {});
  await attempt("secret", "/api/version", {headers: auth});
  await attempt("settings", "/ui-settings", {});
  await new Promise(done => {
    const socket = new WebSocket(url.replace("http", "ws") + "/api/events/out", "prefect");
    socket.onopen = () => { found.push("WebSocket"); done(); };
    socket.onerror = done;
  });
  return found;
})()
"""


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_page_of_another_origin_gets_nothing(server: PrivateServer, tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as elsewhere:
        threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
        secret = json.dumps(access.read_secret(server.store))
        script = ATTEMPTS.replace("URL_", json.dumps(server.url)).replace("SECRET_", secret)
        assert driven(f"http://127.0.0.1:{elsewhere.server_port}/", script, tmp_path / "other") == []
        elsewhere.shutdown()
    own = driven(f"{server.url}/v2/login", script, tmp_path / "own")  # the same attempts of the server's own page
    assert own == [
        "simple: 401 the sec",
        "read: 401 the sec",
        'secret: 200 "0.8.4"',
        'settings: 200 {"api_u',
        "WebSocket",
    ]


def test_a_new_server_has_a_new_secret_and_one_under_up_keeps_it(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    store.prefect.mkdir()
    access.renew_secret(store)
    first = access.read_secret(store)
    access.renew_secret(store)
    assert access.read_secret(store) != first
    assert access.secret_file(store).stat().st_mode & 0o777 == 0o600
    assert len(first) > 40
    access.secret_file(store).write_text("")
    with pytest.raises(ServerError, match="is empty"):
        access.read_secret(store)
    access.secret_file(store).unlink()
    with pytest.raises(ServerError, match="cannot be read"):
        access.private_settings(store, 1)


def test_the_command_dashboard(alone: Any, tmp_path: Path) -> None:
    """`dashboard --open` hands the browser a file with the secret, and no secret on its command line."""
    store = Store.open(tmp_path / "store", create=True)
    log, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf "%s" "$1" > {log}.part; mv {log}.part {log}\n')
    browser.chmod(0o700)
    with alone.start("dashboard", "--store", store.root, "--open", BROWSER=f"{browser} %s") as dashboard:
        try:
            line = dashboard.stdout.readline()
            url = re.search(r"http://127\.0\.0\.1:\d+", line)[0]
            assert ".secret" in dashboard.stdout.readline()
            for _ in range(600):
                if log.exists():
                    break
                threading.Event().wait(0.1)
            page = Path(log.read_text().removeprefix("file://"))
            assert page.stat().st_mode & 0o777 == 0o600
            assert access.read_secret(store) in page.read_text()
            page.unlink()
            assert intruder.breaches(url, store.root) == []
        finally:
            dashboard.send_signal(signal.SIGINT)
            _, err = dashboard.communicate(timeout=60)
    assert "Traceback" not in err
    assert list(store.prefect.glob(".enter-*")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_of_the_installation_has_pages_of_its_own(tmp_path: Path) -> None:
    """The first server writes them beside Prefect for its own user alone; servers of others must not need them."""
    code = (
        "import os\nfrom voicemill.flows.service.access import _files_of_pages as files\n"
        "print(files())\nos.setgid(65534)\nos.setuid(65534)\nprint(files())"
    )
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    cache = {"PREFECT_UI_STATIC_DIRECTORY": str(tmp_path / "voicemill" / "prefect-pages")}
    assert ran.stdout.splitlines() == ["{}", str(cache)]
