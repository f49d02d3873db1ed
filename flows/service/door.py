"""Door of the private server: an ASGI application in front of Prefect's, which lets in requests with the secret.

Three checks, in this order, for HTTP and for WebSockets:
- `Host` is the address of the server (else 421): a page reaches the server by a host name of its own (DNS rebinding);
- `Origin`, where there is one, is the server's (else 403): pages of others send requests, and do not read the answers;
- the secret, as basic authentication (else 401). Without it there are the health of the server and the files of
  Prefect's user interface, which are public, hold nothing of the store, and ask for the secret themselves. A WebSocket
  has no such header: Prefect's own code takes the secret from its first message.

Prefect's check of the secret stays behind this one. It alone does not suffice: it lies under the check for CSRF tokens,
which reads the database before, and it does not see the host.

`ENTRY` takes the secret from the form of `access.entry_page` and hands it to the user interface: it stores it where
Prefect's own form stores it. Every page has a policy that lets in nothing from another host: artifacts hold text
from outside.
"""

import base64
import hmac
import secrets
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voicemill.flows.service.access import ENTRY, own_origin

HOME = "/v2/runs"
PUBLIC = ("/api/health", "/api/ready")
"""Routes of the API that answer without the secret, for GET alone."""
API = ("/api", "/docs", "/redoc", "/openapi.json")
"""Beginnings of the paths that are no files of the user interface."""
FORM_BYTES = 4096
STORED_AS = "prefect-password"
"""Entry of the browser's local storage in which Prefect's user interface keeps the secret, in base 64."""
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' {sockets}; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Door:
    """Prefect's application behind the checks, for a server on `port`."""

    def __init__(self, app: ASGIApp, port: int, secret: str) -> None:
        self.app, self.secret, self.origin = app, secret, own_origin(port)
        self.host = self.origin.removeprefix("http://")
        self._password = base64.b64encode(secret.encode())
        self._headers = HEADERS | {"Content-Security-Policy": POLICY.format(sockets=f"ws://{self.host}")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif refusal := self.refusal(scope):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": bytes(refusal.body).decode()})
            else:
                await refusal(scope, receive, self._with_headers(send))
        elif scope["type"] == "http" and scope["path"] == ENTRY:
            await (await self.enter(Request(scope, receive)))(scope, receive, send)
        else:
            await self.app(scope, receive, self._with_headers(send) if scope["type"] == "http" else send)

    def refusal(self, scope: Scope) -> Response | None:
        """Answer to a request that is not let in; None = it is."""
        headers = Headers(scope=scope)
        if headers.getlist("host") != [self.host]:
            return PlainTextResponse(f"this server is {self.origin}, and has no other name", 421)
        entry = scope["type"] == "http" and (scope["method"], scope["path"]) == ("POST", ENTRY)
        if not entry and set(headers.getlist("origin")) - {self.origin}:
            return PlainTextResponse("requests of pages from elsewhere are refused", 403)
        if entry or scope["type"] == "websocket" or self._is_public(scope) or self._has_secret(headers):
            return None
        return PlainTextResponse("the secret of the server is missing", 401)

    @staticmethod
    def _is_public(scope: Scope) -> bool:
        path = scope["path"]
        if any(path == start or path.startswith(f"{start}/") for start in API):
            return scope["method"] == "GET" and path in PUBLIC
        return scope["method"] in ("GET", "HEAD")

    def _has_secret(self, headers: Headers) -> bool:
        values = headers.getlist("authorization")
        scheme, _, password = values[0].partition(" ") if len(values) == 1 else ("", "", "")
        return scheme.lower() == "basic" and hmac.compare_digest(password.strip().encode(), self._password)

    def _with_headers(self, send: Send) -> Send:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        return send_with_headers

    async def enter(self, request: Request) -> Response:
        """Page that stores the secret of a posted form for the user interface, and goes there."""
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > FORM_BYTES:
                return PlainTextResponse("the form is too long", 413)
        fields = parse_qs(body.decode("utf-8", "replace"))
        (secret,) = fields.get("secret", [""])[:1]
        if not hmac.compare_digest(secret.encode(), self.secret.encode()):
            return PlainTextResponse("the secret is not that of this server", 401)
        nonce, password = secrets.token_urlsafe(16), self._password.decode()
        script = f'localStorage.setItem("{STORED_AS}", "{password}"); location.replace("{HOME}");'
        policy = f"default-src 'none'; script-src 'nonce-{nonce}'; frame-ancestors 'none'; base-uri 'none'"
        headers = HEADERS | {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
        page = f'<!doctype html><title>voicemill</title><script nonce="{nonce}">{script}</script>'
        return HTMLResponse(page, headers=headers)
