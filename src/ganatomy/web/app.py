"""The web app as a value: a list of pages over the studies that are served."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from importlib.resources import files

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from ganatomy.annotations import Annotations
from ganatomy.errors import GanatomyError, UnknownName
from ganatomy.web.guard import LIMITS, Guard, Limits
from ganatomy.web.house import House
from ganatomy.web.pages import annotate, browse, home, paint
from ganatomy.web.painter import Painter
from ganatomy.web.schemas import Reason
from ganatomy.web.worker import WARM, Busy, Outdated, Turn, Worker

PAGES: list[APIRouter] = [home.routes, paint.routes, browse.routes, annotate.routes]
STATUS = {Outdated: 409, Busy: 503, UnknownName: 404}
"""How mistakes are told over HTTP; any other is a 422."""
REFUSALS = {code: {"model": Reason} for code in (404, 409, 413, 422, 429, 503)}


def create_app(
    painters: Mapping[str, Painter],
    *,
    token: str | None = None,
    limits: Limits = LIMITS,
    annotations: Annotations | None = None,
) -> Guard:
    """Return the web app, to be served by any ASGI server.

    Args:
        painters: the studies, by the names that addresses have.
        token: what every request must carry; None for a server that only this machine can reach.
        limits: how much is too much.
        annotations: where what people say is kept; None: nowhere.
    """
    worker = Worker(limits.waiting)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.ensure_future(_warm(worker, painters.values()))
        yield
        warming.cancel()
        worker.close()

    app = FastAPI(title="ganatomy", docs_url=None, redoc_url=None, lifespan=lifespan, responses=REFUSALS)  # type: ignore[arg-type]
    app.state.house = House(painters, worker, annotations)
    for routes in PAGES:
        app.include_router(routes)
    app.mount("/static/report", StaticFiles(directory=str(files("ganatomy.report") / "static")))
    app.mount("/static", StaticFiles(directory=str(files("ganatomy.web") / "static")))
    app.add_exception_handler(GanatomyError, _mistake)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _refused)
    return Guard(app, limits, token)


async def _warm(worker: Worker, painters: Iterable[Painter]) -> None:
    """Have ready what the first stroke would have to wait for; whatever is wrong will be told to whoever asks."""
    for painter in painters:
        with contextlib.suppress(GanatomyError):
            for job in painter.warming():
                await worker.run(job, Turn(WARM))


async def _mistake(_: Request, error: Exception) -> JSONResponse:
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 422)
    headers = {"retry-after": "1"} if status == 503 else None
    return JSONResponse({"reason": " ".join(str(error).split())}, status, headers)


async def _malformed(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first, *more = error.errors()
    place = ".".join(str(step) for step in first["loc"])[:200]
    return JSONResponse({"reason": f"{place}: {first['msg']}" + (f" and {len(more)} more" if more else "")}, 422)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"reason": error.detail}, error.status_code, error.headers)
