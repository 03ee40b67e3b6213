"""Serve the web app below a path, such as ``/user/ann/proxy/8000``, behind a proxy that strips that path or does not.

The pages' own links are relative, so they hold below any path. What is left is here: requests that come with the path,
and addresses whose slash at the end would make relative links go wrong.
"""

import re
from urllib.parse import quote, unquote

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ganatomy.core.errors import BadValue

OWN = ("annotate", "api", "browse", "docs", "openapi.json", "paint", "reports", "static")
"""First steps of the app's own addresses; with one of these as root path, it would be unclear what to strip."""


class SubPath:
    """An ASGI application that passes requests on with ``root_path`` set, and ``path`` below it.

    Args:
        app: the other application.
        root_path: where it is for browsers; empty for the root of its host.

    Raises:
        BadValue: it is no path, or the app itself has addresses there.
    """

    def __init__(self, app: ASGIApp, root_path: str = "") -> None:
        root = unquote(root_path).rstrip("/")
        if root and not re.fullmatch(r"(/[^/?#;\\\x00-\x20\x7f]+)+", root):
            raise BadValue(f"the root path {root_path!r} must be steps after slashes, such as /proxy/8000")
        if root.split("/")[1:2] and root.split("/")[1] in OWN:
            raise BadValue(f"the root path {root_path!r} begins like the app's own addresses; give one that does not")
        self.app, self.root_path = app, root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or send a browser to the same address with or without a slash at its end."""
        if scope["type"] == "http":
            path = scope["path"]
            if self.root_path and (path == self.root_path or path.startswith(f"{self.root_path}/")):
                path = path[len(self.root_path) :]
            answer = _other_slash(path, self.root_path) if scope["method"] == "GET" else None
            if answer is not None:
                return await answer(scope, receive, send)
            scope = {**scope, "path": self.root_path + path, "root_path": self.root_path}
        return await self.app(scope, receive, send)


def _other_slash(path: str, root_path: str) -> Response | None:
    """Return a redirect, relative as all links are, from ``/paint/church/``, or from the root path without a slash."""
    if path == "" and root_path:
        location = f"{quote(root_path.rpartition('/')[2])}/"
    elif path.endswith("/") and path.strip("/"):
        location = f"../{quote(path.rstrip('/').rpartition('/')[2])}"
    else:
        return None
    return Response(status_code=307, headers={"location": location})


def own_path(scope: Scope) -> str:
    """Return the path of a request below the root path, such as ``/paint/church``."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def to_root(scope: Scope) -> str:
    """Return the way from a request's address up to the home page, as a relative link.

    >>> to_root({"path": "/proxy/paint/church", "root_path": "/proxy"})
    '../'
    """
    return "../" * (own_path(scope).count("/") - 1) or "./"
