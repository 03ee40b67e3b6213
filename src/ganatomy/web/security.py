"""Checks of every request before a page sees it: rate, host, origin, token, size.

A page of another site must not reach a server on this machine through its visitor's browser, so requests that name
another host or come from another origin are refused.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ganatomy.core.errors import BadValue
from ganatomy.web.refusals import refusal
from ganatomy.web.subpath import own_path

COOKIE = "ganatomy-token"
MAX_CLIENTS = 1024
"""Addresses whose rate is kept."""
Refused = tuple[int, str, Mapping[str, str]]
"""Status, reason, headers."""
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
        "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True)
class Limits:
    """Limits of the server.

    Attributes:
        body: bytes of a request.
        rate: requests a second from one address, over time, that are refused.
        burst: such requests at once from one address.
        passing: what a request that passes counts as: twenty people who paint behind one proxy have one address.
        waiting: requests that wait for the models.
        seconds: pause within a body.
    """

    body: int = 1 << 20
    rate: float = 200.0
    burst: float = 400.0
    passing: float = 0.1
    waiting: int = 64
    seconds: float = 10.0


LIMITS = Limits()


class SecurityMiddleware:
    """An ASGI application that passes allowed requests to another one.

    Args:
        app: the other application.
        limits: limits of the server.
        token: what a request must carry, as ``Authorization: Bearer TOKEN``, as a cookie, or once as ``?token=TOKEN``;
            None admits everybody who asks for this machine by a loopback name.

    Raises:
        BadValue: a token that no address can carry, such as an empty one.
    """

    def __init__(self, app: ASGIApp, limits: Limits, token: str | None = None) -> None:
        if token is not None and not re.fullmatch(r"[A-Za-z0-9._~-]+", token):
            raise BadValue(f"the token {token!r} must be letters, digits and . _ ~ - only, at least one")
        self.app, self._limits, self._token = app, limits, token
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer why not."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        request = Request(scope)
        refused = self._refused(request)
        answer: ASGIApp | None = refusal(request, *refused) if refused else None
        if answer is None and self._token and "token" in request.query_params and request.method == "GET":
            path = quote(scope.get("root_path", "")) or "/"
            cookie = f"{COOKIE}={_digest(self._token)}; Path={path}; HttpOnly; SameSite=Lax"
            location = f"./{quote(scope['path'].rpartition('/')[2])}"  # relative: a proxy may have stripped a part
            answer = Response(status_code=303, headers={"location": location, "set-cookie": cookie})
        send = _with_headers(send)
        if scope["method"] == "HEAD":  # what GET answers, without its body
            scope, send = {**scope, "method": "GET"}, _without_body(send)
        return await (answer or self.app)(scope, self._limited(receive), send)

    def _refused(self, request: Request) -> Refused | None:
        """Return why a request is refused; None lets it pass."""
        address = request.client.host if request.client else ""
        if not self._within_rate(address):  # first: no token can be tried out
            reason = f"too many requests a second from {address}; slow down"
            return 429, reason, {"retry-after": "1"}
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if self._token is None and not _is_loopback(host):
            return 421, f"this server answers to localhost only, not to {host[:100]!r}; --token TEXT lets others in", {}
        if origin is not None and origin.partition("://")[2] != host:
            reason = f"requests from {origin[:100]!r} are not answered; open the page from this server itself"
            return 403, reason, {}
        if request.headers.get("sec-fetch-site") == "cross-site" and not (_is_static(request) or _navigates(request)):
            return 403, "this request was made by a page of another site", {}
        if self._token is not None and not _is_static(request) and not self._has_token(request, self._token):
            reason = "this server needs its token: open the address that it printed, or send Authorization: Bearer …"
            return 401, reason, {}
        declared = request.headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > self._limits.body:
            return 413, f"a body of {declared[:20]} bytes; the most is {self._limits.body}", {}
        left, since = self._buckets[address]
        self._buckets[address] = (left + 1 - self._limits.passing, since)
        return None

    @staticmethod
    def _has_token(request: Request, token: str) -> bool:
        pairs = (
            (request.headers.get("authorization", "").removeprefix("Bearer "), token),
            (request.query_params.get("token", ""), token),
            (request.cookies.get(COOKIE, ""), _digest(token)),
        )
        return any(hmac.compare_digest(given.encode(), expected.encode()) for given, expected in pairs)

    def _within_rate(self, address: str) -> bool:
        """Take one from the token bucket of an address."""
        now = time.monotonic()
        left, since = self._buckets.pop(address, (self._limits.burst, now))
        left = min(self._limits.burst, left + (now - since) * self._limits.rate)
        self._buckets[address] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return left >= 1

    def _limited(self, receive: Receive) -> Receive:
        """Return a body that fails where it becomes too large, whatever its header said, or too slow."""
        read, whole = 0, False

        async def limited() -> Message:
            nonlocal read, whole
            try:
                message = await asyncio.wait_for(receive(), None if whole else self._limits.seconds)
            except TimeoutError:
                raise HTTPException(408, f"the body paused for {self._limits.seconds:g} seconds") from None
            whole = not message.get("more_body", False)
            read += len(message.get("body", b""))
            if read > self._limits.body:
                raise HTTPException(413, f"a body of over {self._limits.body} bytes")
            return message

        return limited


def _navigates(request: Request) -> bool:
    """Whether a person follows a link, by what the browser says."""
    return request.method in ("GET", "HEAD") and request.headers.get("sec-fetch-mode") == "navigate"


def _digest(token: str) -> str:
    """Return what the cookie holds: browsers send it to every port of a host, so it is not the token itself."""
    return hashlib.sha256(token.encode()).hexdigest()


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or name.endswith(".localhost") or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_static(request: Request) -> bool:
    """Whether a request is for a file of the package, which is no secret: the page that asks for the token has some."""
    return own_path(request.scope).startswith("/static/")


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending


def _without_body(send: Send) -> Send:
    async def sending(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return sending
