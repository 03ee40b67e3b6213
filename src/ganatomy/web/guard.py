"""Who may ask, and how much: in front of every page, before anything is read.

A page of another site must not reach a server on this machine through its visitor's browser: requests are refused
that name another host, or come from another origin; so are bodies that are too large, and people who ask too often.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ganatomy.errors import BadValue

COOKIE = "ganatomy-token"
PEOPLE = 1024
"""Addresses whose rate is kept."""
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True)
class Limits:
    """How much is too much.

    Attributes:
        body: most bytes of a request.
        rate: most requests a second from one address, over time.
        burst: most at once.
        waiting: most that wait for the models.
        seconds: longest that a body may pause on its way.
    """

    body: int = 1 << 20
    rate: float = 200.0
    burst: float = 400.0
    waiting: int = 64
    seconds: float = 10.0


LIMITS = Limits()
"""What is usual."""


class Guard:
    """An ASGI application that lets through to another what may pass.

    Args:
        app: the other.
        limits: how much is too much.
        token: what a request must carry, as ``Authorization: Bearer TOKEN``, as a cookie, or once as ``?token=TOKEN``;
            None lets everybody in who asks for this machine by a name of its own.

    Raises:
        BadValue: a token that no address can carry, such as an empty one.
    """

    def __init__(self, app: ASGIApp, limits: Limits, token: str | None = None) -> None:
        if token is not None and not re.fullmatch(r"[A-Za-z0-9._~-]+", token):
            raise BadValue(f"the token {token!r} must be letters, digits and . _ ~ - only, at least one")
        self.app, self._limits, self._token = app, limits, token
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or say why not."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        query = parse_qs(scope["query_string"].decode("latin-1"))
        refused = self._refusal(scope, headers, query)
        if refused is not None:
            await _answer(send, *refused)
        elif "token" in query and self._token and scope["method"] == "GET":
            cookie = f"{COOKIE}={_digest(self._token)}; Path=/; HttpOnly; SameSite=Strict"
            where = f"/{quote(scope['path'].lstrip('/'))}"
            await _answer(send, 303, "", {"location": where, "set-cookie": cookie})
        else:
            await self.app(scope, self._limited(receive), _with_headers(send))
        return None

    def _refusal(
        self, scope: Scope, headers: Mapping[str, str], query: Mapping[str, list[str]]
    ) -> tuple[int, str] | tuple[int, str, dict[str, str]] | None:
        """Return the status of a refusal and the reason; None lets pass."""
        if not self._within_rate((scope.get("client") or ("", 0))[0]):  # first, so that no token can be tried out
            return 429, f"more than {self._limits.rate:g} requests a second; slow down", {"retry-after": "1"}
        host = headers.get("host", "")
        if self._token is None and not _is_loopback(host):
            return 421, f"this server answers to localhost only, not to {host[:100]!r}"
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return 403, f"requests from {origin[:100]!r} are not answered; open the page from this server itself"
        if self._token is not None and not self._known(headers, query):
            return 401, "this server needs its token: open the address that it printed, or send Authorization: Bearer …"
        declared = headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > self._limits.body:
            return 413, f"a body of {declared[:20]} bytes; the most is {self._limits.body}"
        return None

    def _known(self, headers: Mapping[str, str], query: Mapping[str, list[str]]) -> bool:
        assert self._token is not None
        given = {
            headers.get("authorization", "").removeprefix("Bearer "): self._token,
            query.get("token", [""])[0]: self._token,
            cookie_parser(headers.get("cookie", "")).get(COOKIE, ""): _digest(self._token),
        }
        return any(hmac.compare_digest(each.encode(), known.encode()) for each, known in given.items())

    def _within_rate(self, address: str) -> bool:
        """Take one from a bucket that fills up again over time."""
        now = time.monotonic()
        left, since = self._left.pop(address, (self._limits.burst, now))
        left = min(self._limits.burst, left + (now - since) * self._limits.rate)
        self._left[address] = (left - 1 if left >= 1 else left, now)
        if len(self._left) > PEOPLE:
            self._left.popitem(last=False)
        return left >= 1

    def _limited(self, receive: Receive) -> Receive:
        """Return a body that ends where it becomes too large, whatever its header said, or too slow."""
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


def _digest(token: str) -> str:
    """Return what the cookie holds: browsers send it to every port of a host, so it is not the token itself."""
    return hashlib.sha256(token.encode()).hexdigest()


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or name.endswith(".localhost") or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            known = {name.lower() for name, _ in message["headers"]}
            message["headers"] = [
                *message["headers"],
                *((n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in known),
            ]
        await send(message)

    return sending


async def _answer(send: Send, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
    body = json.dumps({"reason": reason}).encode()
    fields = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    start = {"type": "http.response.start", "status": status}
    await _with_headers(send)({**start, "headers": [(n.encode(), v.encode()) for n, v in fields.items()]})
    await send({"type": "http.response.body", "body": body})
