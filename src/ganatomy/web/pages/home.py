"""Which studies are served, their reports, and whether the server is alive."""

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import pandas as pd
from fastapi import APIRouter, Request, Response
from fastapi import Path as InPath
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse

from ganatomy.core.errors import UnknownName
from ganatomy.core.layer_steps import split_layer
from ganatomy.experiments.catalogue import groups_of
from ganatomy.experiments.dissection import Dissection
from ganatomy.study.files import INDEX
from ganatomy.web.app_state import AppState, Context, State, page
from ganatomy.web.readers import as_models
from ganatomy.web.schemas import LayerFacts, Report, StudyFacts, UnitRow

routes = APIRouter()
SHOWN = 4
"""Units of a study that the home page shows."""
REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; frame-ancestors 'none'"
)
"""A report may come from elsewhere: its scripts reach nothing outside of it, nor this server."""


@routes.get("/", response_class=HTMLResponse, include_in_schema=False)
async def home(state: State) -> str:
    """Show the served studies."""
    facts = await _facts(state)
    reports = [await run_in_threadpool(_reports, painter.source.dissection) for painter in state.painters.values()]
    units = [clearest_units(painter.source.dissection.units) for painter in state.painters.values()]
    return page("home.html", "./", studies=zip(facts, reports, units, strict=True))


@routes.get("/docs", response_class=HTMLResponse, include_in_schema=False)
async def docs() -> str:
    """Show what other programs can ask."""
    return page("docs.html", "./")


@routes.get("/reports/{study}/{path:path}", response_class=FileResponse, include_in_schema=False)
def report(request: Request, context: Context, path: Annotated[str, InPath(max_length=500)]) -> Response:
    """Show a report of a study; links between reports hold, as paths are those of the study's parent directory."""
    dissection = context.painter.source.dissection
    found = {each.path: each for each in _reports(dissection)}
    if path.rpartition("/")[2] == INDEX:
        query = f"?{request.url.query}" if request.url.query else ""  # the theme
        return RedirectResponse("../" * path.count("/") + f"../../{query}", 303)  # the home page lists the same
    if path not in found:
        raise UnknownName("report", path[:200], list(found))
    return FileResponse(_around(dissection) / path, headers={"content-security-policy": REPORT_POLICY})


@routes.get("/api/health")
async def health() -> dict[str, str]:
    """Answer at once, whatever the models are at."""
    return {"status": "ok"}


@routes.get("/api/studies")
async def studies(state: State) -> list[StudyFacts]:
    """List the studies that are served."""
    return await _facts(state)


@routes.get("/api/studies/{study}/reports")
def reports(context: Context) -> list[Report]:
    """List the reports of what was measured on a study; each is served at ``/reports/STUDY/PATH``."""
    return _reports(context.painter.source.dissection)


def clearest_units(units: pd.DataFrame, count: int = SHOWN) -> list[UnitRow]:
    """Return the best matched unit of each of some concepts, objects first, from the table of a dissection."""
    labelled = units[units.label.notna()]
    labelled = labelled.assign(other=labelled.category != "object", unmatched=~labelled.matched)
    best = labelled.sort_values(["unmatched", "other", "iou"], ascending=[True, True, False], kind="stable")
    return as_models(UnitRow, best.drop_duplicates("label")[:count])


async def _facts(state: AppState) -> list[StudyFacts]:
    found = []
    for name, painter in state.painters.items():
        height, width = await state.models.run(lambda painter=painter: painter.size)  # type: ignore[misc]
        dissection = painter.source.dissection
        facts = StudyFacts(
            name=name,
            generator=dissection.spec.generator,
            segmenter=dissection.spec.segmenter,
            images=dissection.spec.images,
            height=height,
            width=width,
            layers=[LayerFacts(name=layer, **shape._asdict()) for layer, shape in dissection.layers.items()],
            layer=painter.best_layer(),
            steps=painter.source.last_step(split_layer(painter.best_layer()).block),
            units=len(dissection.units),
            matched=int(dissection.units.matched.sum()),
            concepts=int(dissection.concepts.units_matched.gt(0).sum()),
        )
        found.append(facts)
    return found


def _around(dissection: Dissection) -> Path:
    """Return the directory in which the reports of a dissection lie, its own and others."""
    return dissection.study.directory.resolve().parent


def _reports(dissection: Dissection) -> list[Report]:
    """Return the finished results that stand on a dissection and have a page, itself first."""
    around, found = _around(dissection), []
    for entry in groups_of(dissection.study.directory)[0].entries:
        where = entry.page.resolve()
        if entry.state == "finished" and entry.summary is not None and where.is_relative_to(around):
            path, page_says = where.relative_to(around).as_posix(), entry.summary
            found.append(Report(title=page_says.question, answer=page_says.answer, path=path, address=quote(path)))
    return found
