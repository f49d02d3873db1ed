"""Attempts of other users of the machine, and of pages of other origins, on a port of a private Prefect server."""

import base64
import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from support.prefect_server import get, secret_of

OPEN = {("GET", "/api/health"), ("GET", "/api/ready")}
SOCKETS = (
    "/api/events/in",
    "/api/events/out",
    "/api/logs/out",
    "/api/task_runs/subscriptions/scheduled",
    "/api/work_pools/cpu/workers/connect",
)
NOBODY = 65534
OTHER_USER = """
import encodings.idna, http.client, json, os, sys, urllib.error, urllib.request
store, pid, url, command = sys.argv[1:]
os.chdir(f"{store}/prefect")  # the modes of the files are tried, not those of the folders above
os.setgroups([]), os.setgid(65534), os.setuid(65534)
def read(path):
    try:
        return open(path, "rb").read() and f"{path} is readable"
    except OSError:
        return ""
def post(path, body):
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers, method="POST")
    try:
        return f"POST {path}: {urllib.request.urlopen(request).status}"
    except urllib.error.HTTPError as error:
        return "" if error.code == 401 else f"POST {path}: {error.code}"
found = [read(name) for name in (".secret", "prefect.db", "prefect.db-wal")]
found += [read(f"/proc/{pid}/environ"), post("/api/deployments/filter", {})]
found += [post("/api/deployments/00000000-0000-0000-0000-000000000000/create_flow_run", json.loads(command))]
print(json.dumps([line for line in found if line]))
"""


def request(url: str, method: str, path: str, headers: dict[str, str], body: str = "") -> tuple[int, str, Any]:
    """Status, text and headers of the answer to a request with these headers and no others but `Host`."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    try:
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace"), answer.headers
    finally:
        connection.close()


def basic(secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(secret.encode()).decode()}


def routes(url: str) -> Iterator[tuple[str, str]]:
    """Method and path of every route of the server, from its own description."""
    paths = get(f"{url}/api/openapi.json")["paths"]
    for path, methods in paths.items():
        for method in methods:
            yield method.upper(), "/api" + re.sub(r"{[^}]*}", "x", path)
    for path in ("/docs", "/redoc", "/openapi.json", "/api/docs", "/api/redoc", "/api/openapi.json", "/api/metrics"):
        yield "GET", path
    yield from (("POST", "/"), ("PUT", "/v2/runs"), ("HEAD", "/api/health"), ("GET", "/api/admin/../health"))


def breaches(url: str, store: Path) -> list[str]:
    """Everything that a request without the secret, of another origin or of another host name got through."""
    secret = secret_of(url)
    host = url.removeprefix("http://")
    tried = list(routes(url))
    assert len(tried) > 150
    found = []
    for wrong in ({}, basic("voicemill:wrong"), {"Authorization": f"Bearer {secret}"}):
        for method, path in tried:
            status = request(url, method, path, {**wrong, "Content-Type": "application/json"}, "{}")[0]
            if (status != 401) != ((method, path) in OPEN):
                found.append(f"{method} {path} with {wrong}: {status}")
    for name in ("evil.example", "localhost" + host[9:], "127.0.0.1", "127.0.0.1:80", f"{host}.evil.example", ""):
        for path in ("/api/health", "/api/version", "/v2/runs", "/voicemill/enter"):
            status = request(url, "GET", path, basic(secret) | {"Host": name})[0]
            found += [f"Host {name!r}: {path} {status}"] * (status not in (421, 400))
    for origin in (
        "http://evil.example",
        "null",
        "http://localhost" + host[9:],
        f"https://{host}",
        f"{url}.evil.example",
    ):
        for method in ("GET", "POST", "OPTIONS"):
            preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            status, _, headers = request(url, method, "/api/flows/filter", basic(secret) | preflight)
            if status != 403 or "Access-Control-Allow-Origin" in headers:
                found.append(f"Origin {origin}: {method} {status}")
    status, text, _ = request(url, "POST", "/api/flows/filter", basic(secret) | {"Origin": url}, "{}")
    found += [f"no CSRF token: {status}"] * ((status, "CSRF" in text) != (403, True))
    found += [f"form with a wrong secret: {status}" for status in [enter(url, "voicemill:wrong")] if status != 401]
    return found + open_sockets(url, secret) + told_secrets(secret, store) + other_user(url, store)


def enter(url: str, secret: str) -> int:
    """Status of the answer to the form of the dashboard's entry."""
    form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "null"}
    return request(url, "POST", "/voicemill/enter", form, f"secret={secret}")[0]


def open_sockets(url: str, secret: str) -> list[str]:
    """WebSockets that let a client in without the secret, or a page of another origin with it."""
    found = []
    for path in SOCKETS:
        for token, origin in ((None, None), ("voicemill:wrong", None), (secret, "http://evil.example")):
            try:
                with connect(f"ws{url[4:]}{path}", origin=origin, subprotocols=["prefect"], open_timeout=60) as socket:  # type: ignore[arg-type,list-item]
                    socket.send(json.dumps({"type": "auth", "token": token}))
                    found.append(f"WebSocket {path} from {origin}: {socket.recv(timeout=60)!r}")
            except (InvalidStatus, ConnectionClosed):
                pass
    with connect(f"ws{url[4:]}{SOCKETS[0]}", origin=url, subprotocols=["prefect"], open_timeout=60) as socket:  # type: ignore[arg-type,list-item]
        socket.send(json.dumps({"type": "auth", "token": secret}))
        assert json.loads(socket.recv(timeout=60)) == {"type": "auth_success"}
    return found


def told_secrets(secret: str, store: Path) -> list[str]:
    """Files of the store and command lines that hold the secret, and files with it that others can read."""
    password = secret.partition(":")[2]
    forms = [password.encode(), base64.b64encode(secret.encode())]
    found = []
    for path in (path for path in store.rglob("*") if path.is_file()):
        if any(form in path.read_bytes() for form in forms):
            own = path.relative_to(store).as_posix() == "prefect/.secret" and path.stat().st_mode & 0o77 == 0
            found += [] if own else [f"{path} holds the secret"]
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
        except psutil.Error:
            continue
        found += [f"command line of {process.pid}"] * (password in words)
    return found


def other_user(url: str, store: Path) -> list[str]:
    """Files that another user of the machine reads, and runs they start; [] where this process cannot become one."""
    if os.geteuid() != 0:
        return []
    server = (store / "prefect" / ".serving").read_text().split()[0]
    body = json.dumps({"job_variables": {"command": "touch /tmp/owned"}})
    command = [sys.executable, "-c", OTHER_USER, str(store), server, url, body]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [f"another user: {line}" for line in json.loads(done.stdout)]


def listening(processes: list[int]) -> set[int]:
    """Ports on which these processes listen."""
    ports = set()
    for pid in processes:
        try:
            connections = psutil.Process(pid).net_connections("inet")
        except psutil.Error:
            continue
        ports |= {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}
    return ports
