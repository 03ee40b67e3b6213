"""Which studies are served, and whether the server is alive."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from ganatomy.web.app_state import AppState, State, page
from ganatomy.web.schemas import LayerFacts, StudyFacts

routes = APIRouter()


@routes.get("/", response_class=HTMLResponse, include_in_schema=False)
async def home(state: State) -> str:
    """Show the served studies."""
    return page("home.html", studies=await _facts(state))


@routes.get("/docs", response_class=HTMLResponse, include_in_schema=False)
async def docs() -> str:
    """Show what other programs can ask."""
    return page("docs.html")


@routes.get("/api/health")
async def health() -> dict[str, str]:
    """Answer at once, whatever the models are at."""
    return {"status": "ok"}


@routes.get("/api/studies")
async def studies(state: State) -> list[StudyFacts]:
    """List the studies that are served."""
    return await _facts(state)


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
        )
        found.append(facts)
    return found
