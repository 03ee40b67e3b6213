"""What all pages share: the served studies, the thread that runs their models, and how an answer is made."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import numpy as np
import numpy.typing as npt
from fastapi import Depends, Path, Query, Request, Response

from ganatomy.annotations import Annotations
from ganatomy.core.errors import BadValue, UnknownName
from ganatomy.report.page import template
from ganatomy.web.brush_search import BrushSearch
from ganatomy.web.model_thread import LOWEST, ModelThread, Priority
from ganatomy.web.paint_sessions import Painter
from ganatomy.web.png import png

T = TypeVar("T")
UnitNumber = Annotated[int, Path(ge=0, lt=1 << 20)]
SeedNumber = Annotated[int, Query(ge=0, lt=1 << 31)]


@dataclass(frozen=True)
class AppState:
    """The served studies by name, the thread that runs their models, and where annotations are kept, if anywhere.

    Attributes:
        describing: held while a change is put into words, one at a time: strokes need the processor.
        tasks: photographs that are being inverted.
    """

    painters: Mapping[str, Painter]
    models: ModelThread
    annotations: Annotations | None = None
    describing: asyncio.Lock = field(default_factory=asyncio.Lock)
    tasks: set["asyncio.Future[None]"] = field(default_factory=set)

    def searches(self) -> list[BrushSearch]:
        """Return what measures the brushes of each study, if anything does."""
        return [painter.values.search for painter in self.painters.values() if painter.values.search is not None]


@dataclass(frozen=True)
class StudyContext:
    """The study that a request names."""

    name: str
    painter: Painter
    state: AppState

    @property
    def annotations(self) -> Annotations:
        """Where annotations are kept; raises BadValue if nowhere."""
        if self.state.annotations is None:
            raise BadValue("this server keeps no annotations; start it with --annotations FILE")
        return self.state.annotations

    @property
    def digest(self) -> str:
        """The study's name in annotations."""
        return self.painter.source.dissection.study.digest

    async def ask(self, job: Callable[[Painter], T], priority: Priority = LOWEST) -> T:
        """Run a job in the thread of the models."""
        return await self.state.models.run(lambda: job(self.painter), priority)

    async def do(self, jobs: Iterable[Callable[[], object]]) -> None:
        """Run jobs in the thread of the models, one after the other: strokes go between."""
        for job in jobs:
            await self.state.models.run(job)

    async def ask_png(
        self, job: Callable[[Painter], npt.NDArray[np.uint8]], priority: Priority | None = None
    ) -> Response:
        """Run a job that returns an image; only images without strokes, which have no priority, may be cached."""
        content = await self.ask(lambda painter: png(job(painter)), priority or LOWEST)
        return png_response(content, cached=priority is None)


async def _app_state(request: Request) -> AppState:  # async: what is not runs in a thread, which is slower than it
    state: AppState = request.app.state.shared
    return state


async def _study_context(request: Request, study: str) -> StudyContext:
    state = await _app_state(request)
    if study not in state.painters:
        raise UnknownName("study", study[:100], state.painters)
    return StudyContext(study, state.painters[study], state)


State = Annotated[AppState, Depends(_app_state)]
Context = Annotated[StudyContext, Depends(_study_context)]


def png_response(content: bytes, cached: bool = True) -> Response:
    """Return a PNG file as an answer, which browsers may keep for an hour."""
    headers = {"cache-control": "private, max-age=3600"} if cached else None
    return Response(content, media_type="image/png", headers=headers)


def page(name: str, root: str = "../", **facts: Any) -> str:
    """Return a page from its template, in the language of the report; `root` is the way from it to the home page."""
    return template(name, "ganatomy.web").render(root=root, **facts)
