"""Browse units: what each draws, where it is active, which are active here."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from ganatomy.web.house import InRoom, UnitNumber, page, png
from ganatomy.web.schemas import (
    UNITS,
    Active,
    ActiveUnit,
    CommonRequest,
    FeaturesAsked,
    FeaturesFound,
    PictureId,
    Ranking,
    Region,
    UnitRow,
)

routes = APIRouter()
Seed = Annotated[int, Query(ge=0, lt=1 << 31)]


@routes.get("/browse/{study}", response_class=HTMLResponse, include_in_schema=False)
async def browse_page(room: InRoom) -> str:
    """Show the units."""
    dissection = room.painter.source.dissection
    facts = await room.ask(lambda painter: painter.report)
    return page("browse.html", study=room.name, generator=dissection.spec.generator, **facts)


@routes.get("/browse/{study}/pieces/{name}", response_class=Response, include_in_schema=False)
async def piece(room: InRoom, name: Annotated[str, Path(max_length=40)]) -> Response:
    """Return tables, images or regions of the page, as it unpacks them."""
    content = await run_in_threadpool(lambda: room.painter.piece(name))
    return Response(content, media_type="application/octet-stream")


@routes.get("/api/studies/{study}/layers/{layer}/units")
async def units(
    room: InRoom,
    layer: str,
    concept: Annotated[str | None, Query(max_length=200)] = None,
    sort: Literal["iou", "unit"] = "iou",
    start: Annotated[int, Query(ge=0, lt=1 << 20)] = 0,
    count: Annotated[int, Query(ge=1, le=500)] = 100,
) -> list[UnitRow]:
    """List the units of a layer: with their label's IoU, or with that of a concept."""
    return await room.ask(lambda painter: painter.listed(layer, concept, sort)[start : start + count])


@routes.get("/api/studies/{study}/layers/{layer}/ranking")
async def ranking(
    room: InRoom,
    layer: str,
    concept: Annotated[str, Query(max_length=200)],
    by: Annotated[Literal["ace", "iou"] | None, Query(description="ACE where it was computed, else IoU")] = None,
    top: Annotated[int, Query(ge=1, le=UNITS)] = 20,
) -> Ranking:
    """Return the units of a layer that are best for a concept."""
    return await room.ask(lambda painter: painter.ranking(layer, concept, by, top))


@routes.post("/api/studies/{study}/features")
async def features(room: InRoom, asked: FeaturesAsked) -> FeaturesFound:
    """Return what units do in a part of an image, as numbers."""
    return await room.ask(lambda painter: painter.features(asked))


@routes.get("/api/studies/{study}/layers/{layer}/units/{unit}/card.png", response_class=Response)
async def card(room: InRoom, layer: str, unit: UnitNumber) -> Response:
    """Return a unit's top images side by side, with outlines where it is on."""
    content = await run_in_threadpool(lambda: png(room.painter.card(layer, unit)))
    return Response(content, media_type="image/png", headers={"cache-control": "private, max-age=3600"})


@routes.get("/api/studies/{study}/layers/{layer}/units/{unit}/map.png", response_class=Response)
async def unit_map(room: InRoom, layer: str, unit: UnitNumber, id: PictureId, seed: Seed = 0) -> Response:
    """Return where a unit is active in an image, in grey: white is its greatest activation in the whole sample."""
    content = await room.ask(lambda painter: png(painter.unit_map(id, seed, layer, unit)))
    return Response(content, media_type="image/png", headers={"cache-control": "private, max-age=3600"})


@routes.post("/api/studies/{study}/active")
async def active(room: InRoom, asked: Region) -> Active:
    """Return which units are active in a part of an image, and what it shows."""
    where = (asked.points, asked.radius)
    found, concepts = await room.ask(
        lambda painter: painter.active(asked.id, asked.seed, asked.layer, where, asked.top)
    )
    return Active(units=found, concepts=concepts)


@routes.post("/api/studies/{study}/common")
async def common(room: InRoom, asked: CommonRequest) -> list[ActiveUnit]:
    """Return the units that light up in all of some images."""
    return await room.ask(lambda painter: painter.common(asked.ids, asked.seed, asked.layer, asked.top))
