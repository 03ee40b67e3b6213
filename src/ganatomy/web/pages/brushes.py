"""Brushes: what can be painted, how each was measured, what it does, and where painting starts."""

from fastapi import APIRouter, Response

from ganatomy.web.app_state import Context, png_response
from ganatomy.web.brush_schemas import Brush, BrushSettings, Start
from ganatomy.web.model_thread import WARM, Priority
from ganatomy.web.pages.paint import PNG
from ganatomy.web.png import png

routes = APIRouter()


@routes.get("/api/studies/{study}/layers/{layer}/brushes")
async def brushes(context: Context, layer: str) -> list[Brush]:
    """List what can be painted at a layer, the surest first."""
    return await context.ask(lambda painter: painter.brushes(layer))


@routes.get("/api/studies/{study}/layers/{layer}/brushes/{concept}/example.png", response_class=Response, responses=PNG)
async def example(context: Context, layer: str, concept: str) -> Response:
    """Show one dab of a brush at a place that is good for it: the image before, and after, side by side."""
    await context.do(context.painter.example_jobs())
    later = Priority(WARM)  # a page asks for eight of them, and everything else goes before
    return png_response(await context.ask(lambda painter: png(painter.example(layer, concept)), later))


@routes.get("/api/studies/{study}/settings")
async def settings(context: Context) -> BrushSettings:
    """Return how far the measuring of the brushes is, and what was found."""
    return await context.ask(lambda painter: painter.settings())


@routes.get("/api/studies/{study}/start")
async def start(context: Context) -> Start:
    """Return a good image to start with, and a brush that works."""
    await context.do(context.painter.start_jobs())
    return await context.ask(lambda painter: painter.start())
