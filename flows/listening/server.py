"""Serves a ballot on loopback, to whoever has its address.

Every path begins with a secret of 128 bits; requests that name another host are refused, so that no other page in the
browser can reach it through a name of its own (DNS rebinding), and votes must be JSON of this origin, so that none can
post one. No path is ever turned into a file. A body has 4 KiB at most. Of a sound any part is given (`byte_ranges`).
"""

import hmac
import json
import secrets
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from voicemill.flows.listening import byte_ranges
from voicemill.flows.listening.ballot import Ballot
from voicemill.storage.errors import ConfigError, VoicemillError

TEMPLATES = Path(__file__).parent / "templates"
BODY = 4096
"""Bytes."""
LOOPBACK = "127.0.0.1"


class BallotServer(ThreadingHTTPServer):
    """`with BallotServer(ballot) as server: print(server.address); server.serve_forever()`."""

    daemon_threads = True

    def __init__(self, ballot: Ballot, port: int = 0) -> None:
        """`port` 0: any that is free."""
        self.ballot, self.token = ballot, secrets.token_urlsafe(16)
        super().__init__((LOOPBACK, port), _Handler)
        self.hosts = {f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost")}

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{LOOPBACK}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves midway, as at a jump within a sound, is none."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: BallotServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "voicemill", ""
    timeout = 30

    def do_GET(self) -> None:
        self._answered(self._get)

    def do_HEAD(self) -> None:
        self._answered(self._get)

    def do_POST(self) -> None:
        self._answered(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the address holds the secret."""

    def _answered(self, answer: Any) -> None:
        try:
            answer(self._path())
        except _Refused as refused:
            self._send(refused.status, "text/plain; charset=utf-8", str(refused).encode())
        except VoicemillError as error:
            self._send(HTTPStatus.BAD_REQUEST, "text/plain; charset=utf-8", str(error).encode())

    def _path(self) -> str:
        """What stands behind the secret."""
        if self.headers.get("Host") not in self.server.hosts:
            raise _Refused(HTTPStatus.MISDIRECTED_REQUEST, "another host is meant")
        _, token, *rest = [*self.path.split("/", 2), "", ""][:3]
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            raise _Refused(HTTPStatus.NOT_FOUND, "there is nothing here: open the address that `voicemill ab` printed")
        return rest[0]

    def _get(self, path: str) -> None:
        if path == "":
            nonce = secrets.token_urlsafe(16)
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", _page(nonce).encode(), policy=_policy(nonce))
        elif path.startswith("sound/") and (sound := self.server.ballot.sound(path.removeprefix("sound/"))):
            self._sound(sound)
        else:
            raise _Refused(HTTPStatus.NOT_FOUND, "there is nothing here")

    def _sound(self, sound: bytes) -> None:
        """All of it, or the part that is asked for. A condition (If-Range) is never met, as nothing here has a version
        to name; the standard knows parts for GET alone."""
        conditional = self.command != "GET" or self.headers.get("If-Range") is not None
        part = None if conditional else byte_ranges.asked(self.headers.get("Range"), len(sound))
        if part is None:
            self._send(HTTPStatus.OK, "audio/flac", sound, ("Accept-Ranges", "bytes"))
        elif not part:
            where = ("Content-Range", f"bytes */{len(sound)}")
            self._send(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "text/plain; charset=utf-8", b"", where)
        else:
            where = ("Content-Range", f"bytes {part[0]}-{part[-1]}/{len(sound)}")
            self._send(
                HTTPStatus.PARTIAL_CONTENT,
                "audio/flac",
                sound[part[0] : part[-1] + 1],
                where,
                ("Accept-Ranges", "bytes"),
            )

    def _post(self, path: str) -> None:
        given, ballot = self._body(), self.server.ballot
        if path == "begin":
            self._json(ballot.begin(str(given.get("listener", ""))))
        elif path == "vote":
            try:
                ballot.vote(*(str(given.get(name, "")) for name in ("session", "trial", "choice")))
            except OSError as error:
                raise _Refused(HTTPStatus.INSUFFICIENT_STORAGE, f"the store refused the vote: {error}") from error
            self._json({})
        else:
            raise _Refused(HTTPStatus.NOT_FOUND, "there is nothing here")

    def _body(self) -> dict[str, Any]:
        origin, length = self.headers.get("Origin"), self.headers.get("Content-Length", "")
        try:
            if not length.isdecimal() or int(length) > BODY:
                self.close_connection = True  # what was not read would be taken for the next request
                raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has {BODY} bytes at most, and says so")
            raw = self.rfile.read(int(length))
            if origin is not None and origin.removeprefix("http://") not in self.server.hosts:
                raise _Refused(HTTPStatus.FORBIDDEN, "votes come from the page itself")
            if self.headers.get_content_type() != "application/json":
                raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/json")
            given = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"no JSON: {error}") from error
        if not isinstance(given, dict):
            raise ConfigError("expected a JSON object")
        return given

    def _json(self, value: dict[str, Any]) -> None:
        self._send(HTTPStatus.OK, "application/json", json.dumps(value, ensure_ascii=False).encode())

    def _send(
        self, status: HTTPStatus, kind: str, body: bytes, *more: tuple[str, str], policy: str = "default-src 'none'"
    ) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
            *more,
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _policy(nonce: str) -> str:
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; media-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _page(nonce: str) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("ab.html").render(nonce=nonce)
