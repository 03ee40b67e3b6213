"""Paint with units: strokes on an image, and what they did."""

from base64 import b64encode
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse

from ganatomy.edit import Intervention
from ganatomy.errors import BadValue
from ganatomy.web.house import InRoom, page, png
from ganatomy.web.painter import Painter
from ganatomy.web.schemas import (
    Brush,
    Changes,
    GenerateRequest,
    Painting,
    PaintRequest,
    PictureId,
    Pictures,
)
from ganatomy.web.worker import PAINT, READ, Turn

routes = APIRouter()
PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}}
Seed = Annotated[int, Query(ge=0, lt=1 << 31)]


@routes.get("/paint/{study}", response_class=HTMLResponse, include_in_schema=False)
async def paint_page(room: InRoom) -> str:
    """Show the canvas."""
    return page("paint.html", study=room.name, generator=room.painter.source.dissection.spec.generator)


@routes.get("/api/studies/{study}/pictures/{id}.png", response_class=Response, responses=PNG)
async def picture(room: InRoom, id: PictureId, seed: Seed = 0) -> Response:
    """Return an image as it is."""
    content = await room.ask(lambda painter: png(painter.picture(id, seed)))
    return Response(content, media_type="image/png", headers={"cache-control": "private, max-age=3600"})


@routes.post("/api/studies/{study}/paint", response_class=Response, responses=PNG)
async def paint(room: InRoom, asked: PaintRequest) -> Response:
    """Return an image with strokes on it; 409 if a newer request of the same stream came first."""
    turn = Turn(PAINT, asked.stream, asked.number)
    content = await room.ask(lambda painter: png(painter.paint(asked.id, asked.seed, asked.strokes)), turn)
    return Response(content, media_type="image/png")


@routes.post("/api/studies/{study}/changes")
async def changes(room: InRoom, asked: PaintRequest) -> Changes:
    """Return what strokes did to an image, concept by concept, by the segmenter."""
    turn = Turn(READ, asked.stream and f"{asked.stream} changes", asked.number)
    return await room.ask(lambda painter: painter.changes(asked.id, asked.seed, asked.strokes), turn)


@routes.post("/api/studies/{study}/edits")
async def edits(room: InRoom, asked: Painting) -> Response:
    """Return the interventions that strokes mean, as a file for ``ganatomy apply``."""
    text = await room.ask(lambda painter: painter.edits_text(asked.strokes))
    name = f'attachment; filename="edits-{asked.id}.json"'
    return Response(text, media_type="application/json", headers={"content-disposition": name})


@routes.post("/api/studies/{study}/generate")
async def generate(room: InRoom, asked: GenerateRequest) -> Pictures:
    """Draw several images with the same strokes, or interventions, on each."""
    if asked.edits is not None and asked.strokes:
        raise BadValue("strokes are given, and edits too; give one or the other")

    def read(painter: Painter) -> list[Intervention]:
        return painter.edits(asked.strokes) if asked.edits is None else painter.read_edits(asked.edits)

    edits = await room.ask(read)

    def draw(id: int, painter: Painter) -> str:
        return b64encode(png(painter.edited(id, asked.seed, edits))).decode()

    return Pictures(pictures=[await room.ask(partial(draw, id)) for id in asked.ids])


@routes.get("/api/studies/{study}/layers/{layer}/brushes")
async def brushes(room: InRoom, layer: str) -> list[Brush]:
    """List what can be painted at a layer, the surest first."""
    return await room.ask(lambda painter: painter.brushes(layer))
