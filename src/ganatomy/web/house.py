"""What all pages share: the studies that are served, the thread that runs their models, and how an answer is made."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import numpy as np
import numpy.typing as npt
from fastapi import Depends, Path, Request
from PIL import Image

from ganatomy.annotations import Annotations
from ganatomy.errors import BadValue, UnknownName
from ganatomy.report.page import template
from ganatomy.web.painter import Painter
from ganatomy.web.worker import LAST, Turn, Worker

T = TypeVar("T")


@dataclass(frozen=True)
class House:
    """The studies that are served, by name, and the thread that runs their models."""

    painters: Mapping[str, Painter]
    worker: Worker
    annotations: Annotations | None = None

    def painter(self, study: str) -> Painter:
        """Return the painter of a study.

        Raises:
            UnknownName: it is not served.
        """
        if study not in self.painters:
            raise UnknownName("study", study[:100], self.painters)
        return self.painters[study]


@dataclass(frozen=True)
class Room:
    """One study, and a way to have something done with its models."""

    name: str
    painter: Painter
    worker: Worker
    kept: Annotations | None = None

    @property
    def annotations(self) -> Annotations:
        """Where annotations are kept.

        Raises:
            BadValue: nowhere.
        """
        if self.kept is None:
            raise BadValue("this server keeps no annotations; start it with --annotations FILE")
        return self.kept

    @property
    def digest(self) -> str:
        """What annotations know the study by."""
        return self.painter.source.dissection.study.digest

    async def ask(self, job: Callable[[Painter], T], turn: Turn = LAST) -> T:
        """Return what the job returns, which is run when its turn comes, in the thread of the models."""
        return await self.worker.run(lambda: job(self.painter), turn)


def house(request: Request) -> House:
    """Return the house of the application that was asked."""
    found: House = request.app.state.house
    return found


def room(request: Request, study: str) -> Room:
    """Return the study that a path names."""
    own = house(request)
    return Room(study, own.painter(study), own.worker, own.annotations)


InHouse = Annotated[House, Depends(house)]
InRoom = Annotated[Room, Depends(room)]
UnitNumber = Annotated[int, Path(ge=0, lt=1 << 20)]


def png(picture: npt.NDArray[np.uint8]) -> bytes:
    """Return an image [H, W, 3], or [H, W] in grey, as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=1)
    return file.getvalue()


def page(name: str, **facts: Any) -> str:
    """Return a page from its template, in the language of the report."""
    return template(name, "ganatomy.web").render(**facts)
