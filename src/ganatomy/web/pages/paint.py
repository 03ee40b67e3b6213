"""Paint with units: strokes on an image, and what they did."""

import asyncio
from base64 import b64encode
from collections.abc import Iterable
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse

from ganatomy.core.errors import BadValue, GanatomyError
from ganatomy.interventions import Intervention, edits_json
from ganatomy.report.binary_packing import reduced
from ganatomy.web.app_state import Context, SeedNumber, page, png_response
from ganatomy.web.model_thread import PAINT, READ, Busy, Priority
from ganatomy.web.paint_sessions import Painter
from ganatomy.web.photographs import read_photograph
from ganatomy.web.png import png
from ganatomy.web.readers import ImageBytes
from ganatomy.web.schemas import Changes, GenerateRequest, ImageId, Images, Painting, PaintRequest, PhotographState

routes = APIRouter()
KEPT, KEPT_SIDE = 8, 256
"""Images that the page shows while the models are opened, and their greatest side."""
PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}}}

IMAGE_FILE = {
    "requestBody": {"required": True, "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}
}
"""What a photograph is sent as."""


@routes.get("/paint/{study}", response_class=HTMLResponse, include_in_schema=False)
def paint_page(context: Context) -> str:
    """Show the canvas, with images of the study until the models answer: this page does not wait for them."""
    dissection = context.painter.source.dissection
    kept: Iterable[ImageBytes] = reduced(dissection.images(KEPT), KEPT_SIDE) if dissection.has_images else ()
    shown = [
        {"source": f"data:image/png;base64,{b64encode(png(each)).decode()}", "width": len(each[0]), "height": len(each)}
        for each in kept
    ]
    return page("paint.html", study=context.name, generator=dissection.spec.generator, kept=shown)


@routes.get("/api/studies/{study}/images/{id}.png", response_class=Response, responses=PNG)
async def image(context: Context, id: ImageId, seed: SeedNumber = 0) -> Response:
    """Return an image as it is."""
    return await context.ask_png(lambda painter: painter.image(id, seed))


@routes.post("/api/studies/{study}/paint", response_class=Response, responses=PNG)
async def paint(context: Context, request: PaintRequest) -> Response:
    """Return an image with strokes on it; 409 if a newer request of the same stream came first.

    `Server-Timing` says how long strokes wait for those of others: the page pauses the longer before it asks again.
    """
    priority = Priority(PAINT, request.stream, request.number)
    models = context.state.models
    response = png_response(await models.run_together(context.painter.together, request, priority), cached=False)
    response.headers["server-timing"] = f"queue;dur={1000 * models.waited:.1f}"
    return response


@routes.post("/api/studies/{study}/changes")
async def changes(context: Context, request: PaintRequest) -> Changes:
    """Return what strokes did to an image, concept by concept, by the segmenter."""
    priority = Priority(READ, request.stream and f"{request.stream} changes", request.number)
    models, drawing = context.state.models, priority._replace(urgency=PAINT)
    await models.run_together(context.painter.together, request, drawing)  # with the images of others, which costs less
    seen = await context.ask(lambda painter: painter.seen(request.id, request.seed, request.strokes), priority)
    async with context.state.describing:
        return await asyncio.to_thread(context.painter.describe, seen, request.strokes)


@routes.post("/api/studies/{study}/edits")
async def edits(context: Context, request: Painting) -> Response:
    """Return the interventions that strokes mean, as a file for ``ganatomy apply``."""
    found = await context.ask(lambda painter: painter.edits(request.strokes))
    text = edits_json(found, context.painter.source.models.generator.fingerprint)
    name = f'attachment; filename="edits-{request.id}.json"'
    return Response(text, media_type="application/json", headers={"content-disposition": name})


@routes.post("/api/studies/{study}/generate")
async def generate(context: Context, request: GenerateRequest) -> Images:
    """Draw several images with the same strokes, or interventions, on each."""
    if request.edits is not None and request.strokes:
        raise BadValue("strokes are given, and edits too; give one or the other")

    def read(painter: Painter) -> list[Intervention]:
        return painter.edits(request.strokes) if request.edits is None else painter.read_edits(request.edits)

    def draw(id: int, painter: Painter) -> str:
        return b64encode(png(painter.edited(id, request.seed, interventions))).decode()

    interventions = await context.ask(read)
    return Images(images=[await context.ask(partial(draw, id)) for id in request.ids])


@routes.post("/api/studies/{study}/photographs", openapi_extra=IMAGE_FILE)
async def open_photograph(context: Context, request: Request) -> PhotographState:
    """Open a photograph, an image file: its latents are found in the background, then it is an image as any other.

    Its largest middle part of the shape of the model's images is taken.
    """
    content = await request.body()
    size = await context.ask(lambda painter: painter.size)
    image = await asyncio.to_thread(read_photograph, content, size)
    state = await context.ask(lambda painter: painter.photographs.add(image))
    task = asyncio.ensure_future(_invert(context, state))
    context.state.tasks.add(task)
    task.add_done_callback(context.state.tasks.discard)
    return state


async def _invert(context: Context, state: PhotographState) -> None:
    """Invert a photograph, piece by piece: strokes go between."""
    more = True
    try:
        while more:
            try:
                await context.do(context.painter.start_jobs())
                more = await context.ask(lambda painter: painter.photographs.advance(state.id))
            except Busy:
                await asyncio.sleep(1)
    except GanatomyError as error:
        state.reason = " ".join(str(error).split())
    except Exception as error:
        state.reason = f"the inversion failed ({type(error).__name__}); the server's log says more"
        raise


@routes.get("/api/studies/{study}/photographs/{id}")
async def photograph(context: Context, id: ImageId) -> PhotographState:
    """Return how far the inversion of a photograph is."""
    return context.painter.photographs.state(id)


@routes.post("/api/studies/{study}/snippet", response_class=PlainTextResponse)
async def snippet(context: Context, request: Painting) -> str:
    """Return a Python program that draws the image with the interventions of ``edits``, which it reads from a file."""
    return context.painter.snippet(request.id, request.seed)
