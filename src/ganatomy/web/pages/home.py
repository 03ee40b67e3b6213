"""What is served, and whether the server is alive."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from ganatomy.web.house import InHouse, page
from ganatomy.web.painter import Painter
from ganatomy.web.schemas import LayerFacts, StudyFacts

routes = APIRouter()


@routes.get("/", response_class=HTMLResponse, include_in_schema=False)
async def home(house: InHouse) -> str:
    """Show the studies that are served."""
    return page("home.html", studies=[await _facts(house, name) for name in house.painters])


@routes.get("/docs", response_class=HTMLResponse, include_in_schema=False)
async def docs() -> str:
    """Show what other programs can ask."""
    return page("docs.html")


@routes.get("/api/health")
async def health() -> dict[str, str]:
    """Answer at once, whatever the models are at."""
    return {"status": "ok"}


@routes.get("/api/studies")
async def studies(house: InHouse) -> list[StudyFacts]:
    """List the studies that are served."""
    return [await _facts(house, name) for name in house.painters]


async def _facts(house: InHouse, name: str) -> StudyFacts:
    painter = house.painters[name]
    height, width = await house.worker.run(lambda: painter.size)
    return _described(name, painter, height, width)


def _described(name: str, painter: Painter, height: int, width: int) -> StudyFacts:
    dissection = painter.source.dissection
    return StudyFacts(
        name=name,
        generator=dissection.spec.generator,
        segmenter=dissection.spec.segmenter,
        images=dissection.spec.images,
        height=height,
        width=width,
        layers=[LayerFacts(name=layer, **shape._asdict()) for layer, shape in dissection.layers.items()],
        layer=painter.best_layer(),
    )
