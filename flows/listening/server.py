"""Serve a ballot on loopback to whoever has its address: starlette routes on uvicorn.

Every path begins with a secret of 128 bits. Requests that name another host are refused, so that no page in the browser
reaches the server through a host name of its own (DNS rebinding), and votes must be JSON from this origin, so that no
other page can post one. No path is ever turned into a file name. A body has 4 KiB at most. A sound is given whole or in
part. Connections are bounded in number, and a client that is slow to ask or to listen is cut off.
"""

import asyncio
import hmac
import json
import re
import secrets
import socket
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from voicemill.flows.listening.ballot import Ballot
from voicemill.flows.report.html import load_template
from voicemill.storage.errors import ConfigError, VoicemillError
from voicemill.storage.units import Seconds

TEMPLATE = Path(__file__).parent / "templates" / "ab.html"
BODY = 4096
"""Size limit of a request body, bytes."""
LOOPBACK = "127.0.0.1"
CONNECTIONS = 800
"""Open connections; more are answered with 503. Below the usual limit of 1,024 open files."""
TIMEOUT: Seconds = 30.0
"""Time limit to send a request after connecting or after the last one, and again to receive its answer."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Sent with every answer; the page brings a policy of its own."""
_RANGE = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)
_BEYOND = 10**18
"""Bytes: a position with more digits than this lies behind the end of any sound."""


class BallotServer:
    """Server of one ballot: `with BallotServer(ballot) as server: print(server.address); server.serve_forever()`."""

    def __init__(self, ballot: Ballot, port: int = 0) -> None:
        """Listen on `port`; 0 = any free one."""
        self.ballot, self.token = ballot, secrets.token_urlsafe(16)
        self._socket = socket.create_server((LOOPBACK, port))
        self.port: int = self._socket.getsockname()[1]
        self.hosts = {f"{name}:{self.port}" for name in (LOOPBACK, "localhost")}
        config = uvicorn.Config(
            _guarded(_application(ballot, self.hosts), self.token, self.hosts),
            http=_Protocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,  # the address holds the secret
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=int(TIMEOUT),
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)

    @property
    def address(self) -> str:
        """URL to open in a browser."""
        return f"http://{LOOPBACK}:{self.port}/{self.token}/"

    def serve_forever(self) -> None:
        """Serve until `shutdown`, or until Ctrl-C, which raises KeyboardInterrupt once the server has closed."""
        self._server.run(sockets=[self._socket])

    def shutdown(self) -> None:
        """Make `serve_forever` return; for another thread."""
        self._server.should_exit = True

    def __enter__(self) -> "BallotServer":
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()


class _Protocol(H11Protocol):
    """HTTP/1.1 that closes a connection on which no request has come to its end within TIMEOUT to 2 x TIMEOUT.

    Uvicorn limits only the wait between two requests: a client that never ends its headers would stay for ever.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._request: object = None
        self._timer = self.loop.call_later(TIMEOUT, self._check)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def _check(self) -> None:
        waiting = self.cycle is None or self.cycle.response_complete
        if waiting and self.cycle is self._request:
            self.transport.close()
            return
        self._request = self.cycle
        self._timer = self.loop.call_later(TIMEOUT, self._check)


def _guarded(app: ASGIApp, token: str, hosts: set[str]) -> ASGIApp:
    """The application behind the checks of host and secret, with the security headers on every answer."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        _, given, *rest = [*scope["path"].split("/", 2), ""][:3]
        answer: ASGIApp = app
        if Headers(scope=scope).getlist("host") not in [[host] for host in hosts]:
            answer = PlainTextResponse("the request names another host", HTTPStatus.MISDIRECTED_REQUEST)
        elif not hmac.compare_digest(given.encode(), token.encode()):
            text = "there is nothing here: open the address that `voicemill ab` printed"
            answer = PlainTextResponse(text, HTTPStatus.NOT_FOUND)
        try:
            async with asyncio.timeout(TIMEOUT):
                await answer({**scope, "path": f"/{rest[0]}"}, receive, send_with_headers)
        except (TimeoutError, ClientDisconnect):
            return  # uvicorn closes what was not answered in full

    return guard


def _application(ballot: Ballot, hosts: set[str]) -> Starlette:
    """Page, sounds and votes of a ballot, at paths without the secret."""

    async def page(request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        headers = {"Content-Security-Policy": _policy(nonce)}
        return Response(_template().render(nonce=nonce), media_type="text/html", headers=headers)

    async def sound(request: Request) -> Response:
        data = ballot.sound(request.path_params["key"])
        if data is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return _sound(request, data)

    async def begin(request: Request) -> Response:
        values = await _body(request, hosts)
        return JSONResponse(await run_in_threadpool(ballot.begin, str(values.get("listener", ""))))

    async def vote(request: Request) -> Response:
        values = await _body(request, hosts)
        session, trial, choice = (str(values.get(name, "")) for name in ("session", "trial", "choice"))
        try:
            await run_in_threadpool(ballot.vote, session, trial, choice)
        except OSError as error:
            raise HTTPException(HTTPStatus.INSUFFICIENT_STORAGE, f"the store did not take the vote: {error}") from error
        return JSONResponse({})

    async def rejected(request: Request, error: Exception) -> Response:
        return PlainTextResponse(str(error), HTTPStatus.BAD_REQUEST)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return PlainTextResponse(error.detail, error.status_code, error.headers)

    async def nothing(request: Request, error: Exception) -> Response:
        return PlainTextResponse("there is nothing here", HTTPStatus.NOT_FOUND)

    app = Starlette(
        routes=[
            Route("/", page),
            Route("/sound/{key}", sound),
            Route("/begin", begin, methods=["POST"]),
            Route("/vote", vote, methods=["POST"]),
        ],
        exception_handlers={404: nothing, 405: nothing, HTTPException: refused, VoicemillError: rejected},
    )
    app.router.redirect_slashes = False
    return app


async def _body(request: Request, hosts: set[str]) -> dict[str, Any]:
    """The JSON object that a request carries.

    Raises:
        HTTPException: it is too long, of another origin or of another type.
        ConfigError: it is not a JSON object.
    """
    length, origin = request.headers.get("Content-Length", ""), request.headers.get("Origin")
    raw = bytearray()
    if length.isdecimal() and int(length) <= BODY:
        async for chunk in request.stream():
            raw += chunk
    if not length.isdecimal() or int(length) > BODY or len(raw) > BODY:
        # what was not read would be taken for the next request
        close = {"Connection": "close"}
        raise HTTPException(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected Content-Length, {BODY} bytes at most", close
        )
    if origin is not None and origin.removeprefix("http://") not in hosts:
        raise HTTPException(HTTPStatus.FORBIDDEN, "votes come from the page itself")
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/json")
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the body is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError("expected a JSON object")
    return values


def _sound(request: Request, data: bytes) -> Response:
    """The sound, or the part that the request asks for.

    A condition (If-Range) is never met, because sounds have no version to name; the standard knows parts of GET only.
    """
    conditional = request.method != "GET" or "If-Range" in request.headers
    part = None if conditional else byte_range(request.headers.get("Range"), len(data))
    if part is None:
        return Response(data, media_type="audio/flac", headers={"Accept-Ranges": "bytes"})
    if not part:
        headers = {"Content-Range": f"bytes */{len(data)}"}
        return PlainTextResponse("", HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers)
    headers = {"Content-Range": f"bytes {part[0]}-{part[-1]}/{len(data)}", "Accept-Ranges": "bytes"}
    return Response(data[part[0] : part[-1] + 1], HTTPStatus.PARTIAL_CONTENT, headers, "audio/flac")


def byte_range(header: str | None, size: int) -> range | None:
    """Positions that a Range header (RFC 9110, section 14) selects of `size` bytes; None = all of them.

    An empty range cannot be met: it starts behind the end, or selects nothing. Several ranges, another unit and what is
    no range are ignored, which the standard allows. Safari plays nothing from a server without ranges: it asks for the
    first two bytes before anything else. Not starlette's FileResponse: it sends several ranges as multipart, which no
    player wants, refuses malformed ones with 400, and needs a file.
    """
    match = _RANGE.fullmatch(header or "")
    if match is None or match[1] == match[2] == "":
        return None
    first, last = (_position(digits) for digits in match.groups())
    if first is None:
        return range(max(size - (last or 0), 0), size)
    if last is None:
        return range(first, size) if first < size else range(0)
    return None if last < first else range(first, min(last + 1, size)) if first < size else range(0)


def _position(digits: str) -> int | None:
    return None if not digits else int(digits) if len(digits.lstrip("0")) < 19 else _BEYOND


def _policy(nonce: str) -> str:
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; media-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@cache
def _template() -> Any:
    return load_template(TEMPLATE)
