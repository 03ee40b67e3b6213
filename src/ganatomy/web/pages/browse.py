"""Browse units: what each draws, where it is active, which are active here."""

from base64 import b64decode
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Path, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from ganatomy.core.errors import UnknownName
from ganatomy.experiments.dissection import Dissection
from ganatomy.report.card import whole_zoom
from ganatomy.report.images import outlined, side_by_side
from ganatomy.web.app_state import Context, SeedNumber, UnitNumber, page, png_response
from ganatomy.web.png import png
from ganatomy.web.readers import ImageBytes
from ganatomy.web.schemas import (
    UNITS,
    Active,
    ActiveUnit,
    CommonRequest,
    FeaturesFound,
    FeaturesRequest,
    ImageId,
    Ranking,
    Region,
    UnitRow,
)

routes = APIRouter()
GAP, PAPER = 2, 255
"""Pixels between rows of images, and their grey."""
LAYER = "/api/studies/{study}/layers/{layer}"


@routes.get("/browse/{study}", response_class=HTMLResponse, include_in_schema=False)
async def browse_page(context: Context) -> str:
    """Show the units."""
    facts = await context.ask(lambda painter: painter.report)
    return page("browse.html", study=context.name, generator=context.painter.source.dissection.spec.generator, **facts)


@routes.get("/browse/{study}/pieces/{name}", response_class=Response, include_in_schema=False)
async def piece(context: Context, name: Annotated[str, Path(max_length=40)]) -> Response:
    """Return tables, images or regions of the page, as it unpacks them."""
    pieces = (await context.ask(lambda painter: painter.report))["pieces"]
    if name not in pieces:
        raise UnknownName("piece", name, list(pieces))
    return Response(b64decode(pieces[name]), media_type="application/octet-stream")


@routes.get(f"{LAYER}/units")
async def units(
    context: Context,
    layer: str,
    concept: Annotated[str | None, Query(max_length=200)] = None,
    sort: Literal["iou", "unit"] = "iou",
    start: Annotated[int, Query(ge=0, lt=1 << 20)] = 0,
    count: Annotated[int, Query(ge=1, le=500)] = 100,
) -> list[UnitRow]:
    """List the units of a layer: with their label's IoU, or with that of a concept."""
    return await context.ask(lambda painter: painter.units(layer, concept, sort)[start : start + count])


@routes.get(f"{LAYER}/ranking")
async def ranking(
    context: Context,
    layer: str,
    concept: Annotated[str, Query(max_length=200)],
    by: Annotated[Literal["ace", "iou"] | None, Query(description="ACE where it was computed, else IoU")] = None,
    top: Annotated[int, Query(ge=1, le=UNITS)] = 20,
) -> Ranking:
    """Return the units of a layer that are best for a concept."""
    return await context.ask(lambda painter: painter.ranking(layer, concept, by, top))


@routes.post("/api/studies/{study}/features")
async def features(context: Context, request: FeaturesRequest) -> FeaturesFound:
    """Return what units do in a part of an image, as numbers."""
    return await context.ask(lambda painter: painter.features(request))


@routes.get(f"{LAYER}/units/{{unit}}/card.png", response_class=Response)
async def card(
    context: Context,
    layer: str,
    unit: UnitNumber,
    images: Annotated[int, Query(ge=1, le=64, description="of its top images, the first")] = 64,
    columns: Annotated[int, Query(ge=1, le=64, description="of them side by side, at most")] = 64,
) -> Response:
    """Return a unit's top images in rows, with outlines where it is on."""
    dissection = context.painter.source.dissection
    return png_response(await run_in_threadpool(lambda: png(top_images(dissection, layer, unit, images, columns))))


@routes.get(f"{LAYER}/units/{{unit}}/map.png", response_class=Response)
async def unit_map(context: Context, layer: str, unit: UnitNumber, id: ImageId, seed: SeedNumber = 0) -> Response:
    """Return where a unit is active in an image, in grey: white is its greatest activation in the whole sample."""
    return await context.ask_png(lambda painter: painter.unit_map(id, seed, layer, unit))


@routes.post("/api/studies/{study}/active")
async def active(context: Context, request: Region) -> Active:
    """Return which units are active in a part of an image, and what it shows."""
    return await context.ask(lambda painter: painter.active(request))


@routes.post("/api/studies/{study}/common")
async def common(context: Context, request: CommonRequest) -> list[ActiveUnit]:
    """Return the units that light up in all of some images."""
    return await context.ask(lambda painter: painter.common(request.ids, request.seed, request.layer, request.top))


def top_images(dissection: Dissection, layer: str, unit: int, count: int, columns: int) -> ImageBytes:
    """Return the first of a unit's top images, outlined where it is on, in rows of one length: uint8 [h, w, 3]."""
    strip = dissection.top(layer, unit)
    images = outlined(strip, whole_zoom(strip.images, 96))[:count]
    rows = max(1, -(-len(images) // columns))
    columns = -(-len(images) // rows)
    blank = np.full((rows * columns - len(images), *images.shape[1:]), PAPER, np.uint8)
    grid = np.concatenate([images, blank]).reshape(rows, columns, *images.shape[1:])
    gap = ((0, GAP), (0, 0), (0, 0))
    lines = [np.pad(side_by_side(row), gap, constant_values=PAPER) for row in grid]
    return np.concatenate(lines)[:-GAP]
