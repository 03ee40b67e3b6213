"""Why a request was refused: a page for people, JSON with a ``reason`` for programs."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from ganatomy.report.page import template
from ganatomy.web.subpath import own_path, to_root

TITLES = {401: "This server needs its token", 404: "There is nothing here"}
FOR_PROGRAMS = ("/api/", "/static/", "/openapi.json")


def refusal(
    request: Request, status: int, reason: str, headers: Mapping[str, str] | None = None, **more: object
) -> Response:
    """Return the answer to a request that is refused: a page where a browser opens one, else JSON.

    Args:
        request: it.
        status: of HTTP.
        reason: one line.
        headers: further ones.
        more: fields of the JSON besides ``reason``.
    """
    if not _opens_a_page(request):
        return JSONResponse({"reason": reason, **more}, status, headers)
    title = TITLES.get(status, "This cannot be shown")
    facts = {"title": title, "reason": reason, "status": status, "root": to_root(request.scope)}
    return HTMLResponse(template("refused.html", "ganatomy.web").render(**facts), status, headers)


def _opens_a_page(request: Request) -> bool:
    for_programs = own_path(request.scope).startswith(FOR_PROGRAMS)
    return request.method == "GET" and "text/html" in request.headers.get("accept", "") and not for_programs
