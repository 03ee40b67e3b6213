"""The web app as a value: a list of pages over the served studies."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from functools import partial
from importlib.resources import files

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from ganatomy.annotations import Annotations
from ganatomy.annotations.store import StoreUnavailable
from ganatomy.core.errors import GanatomyError, UnknownName
from ganatomy.web.app_state import AppState
from ganatomy.web.brush_search import BrushSearch
from ganatomy.web.model_thread import WARM, Busy, ModelThread, Outdated, Priority
from ganatomy.web.pages import annotate, browse, brushes, home, paint
from ganatomy.web.paint_sessions import Painter
from ganatomy.web.refusals import refusal
from ganatomy.web.schemas import ErrorBody
from ganatomy.web.security import LIMITS, Limits, SecurityMiddleware
from ganatomy.web.subpath import SubPath, own_path

STATUS = {Outdated: 409, Busy: 503, StoreUnavailable: 503, UnknownName: 404}
"""HTTP status of an error; any other is a 422."""


def create_app(
    painters: Mapping[str, Painter],
    *,
    token: str | None = None,
    limits: Limits = LIMITS,
    annotations: Annotations | None = None,
    measure: bool = False,
    root_path: str = "",
) -> SubPath:
    """Return the web app, to be served by any ASGI server.

    Args:
        painters: the studies, by the names that addresses have.
        token: what every request must carry; None for a server that only this machine can reach.
        limits: limits of the server.
        annotations: where annotations are kept; None: nowhere.
        measure: whether the best settings of the first brushes are measured, while the server is idle.
        root_path: where a proxy puts it, such as ``/proxy/8000``; links work without it, cookies are narrowed by it.

    Raises:
        BadValue: a token or a root path that cannot be one.
    """
    state = AppState(painters, ModelThread(limits.waiting), annotations)
    for painter in painters.values():
        painter.values.measures = measure

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        background = asyncio.ensure_future(_work_in_background(state, measure))
        yield
        background.cancel()
        for task in state.tasks:
            task.cancel()
        for search in state.searches():
            search.end()
        await asyncio.gather(background, return_exceptions=True)
        state.models.close()

    refusals = {code: {"model": ErrorBody} for code in (404, 409, 413, 422, 429, 503)}
    app = FastAPI(
        title="ganatomy",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # SubPath redirects, by relative links
        lifespan=lifespan,
        responses=refusals,  # type: ignore[arg-type]
    )
    app.state.shared = state
    for routes in (home.routes, paint.routes, brushes.routes, browse.routes, annotate.routes):
        app.include_router(routes)
    app.mount("/static/report", StaticFiles(directory=str(files("ganatomy.report") / "static")))
    app.mount("/static", StaticFiles(directory=str(files("ganatomy.web") / "static")))
    for kind in (GanatomyError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _error_answer)
    return SubPath(SecurityMiddleware(app, limits, token), root_path)


async def _work_in_background(state: AppState, measure: bool) -> None:
    await _warm_up(state)
    if not measure:
        return
    loop = asyncio.get_running_loop()
    for painter in state.painters.values():
        first = await state.models.run(partial(getattr, painter.values, "first"))
        painter.values.search = BrushSearch(painter.source, first)
    for search in state.searches():
        await asyncio.to_thread(search.run, state.models, loop)


async def _warm_up(state: AppState) -> None:
    """Compute what the first stroke would have to wait for; errors are reported to whoever asks."""
    for painter in state.painters.values():
        with contextlib.suppress(GanatomyError):
            for job in painter.warmup_jobs():
                await state.models.run(job, Priority(WARM))


async def _error_answer(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        missing = error.status_code == 404 and error.detail == "Not Found"
        reason = f"no page has the address {own_path(request.scope)[:200]}" if missing else error.detail
        return refusal(request, error.status_code, reason, error.headers)
    if isinstance(error, RequestValidationError):
        first, *more = error.errors()
        place = ".".join(str(step) for step in first["loc"])[:200]
        return refusal(request, 422, f"{place}: {first['msg']}" + (f" and {len(more)} more" if more else ""))
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 422)
    headers = {"retry-after": "1"} if status == 503 else None
    code = error.code if isinstance(error, GanatomyError) else None
    return refusal(request, status, " ".join(str(error).split()), headers, code=code)
