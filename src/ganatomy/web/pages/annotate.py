"""What people say: names of units, flags, which image is more real; and what comes of it."""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from ganatomy.annotations import agreement, artifact_units, preference
from ganatomy.annotations.store import exported
from ganatomy.errors import BadValue
from ganatomy.web.house import InRoom, UnitNumber, page, png
from ganatomy.web.painter import Painter
from ganatomy.web.schemas import (
    Agreed,
    Flagged,
    Named,
    Pair,
    PairRequest,
    Preference,
    Preferred,
    Rater,
    Said,
    Stroke,
    Task,
)

routes = APIRouter()
MEDIA = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
TOLD = 8
"""Units that a comparison names one by one."""


@routes.get("/annotate/{study}", response_class=HTMLResponse, include_in_schema=False)
async def annotate_page(room: InRoom) -> str:
    """Ask people."""
    dissection = room.painter.source.dissection
    best = await room.ask(lambda painter: painter.best_layer())
    layers, generator = list(dissection.layers), dissection.spec.generator
    return page("annotate.html", study=room.name, generator=generator, layers=layers, best=best)


@routes.post("/api/studies/{study}/labels", status_code=201)
def label(room: InRoom, said: Named) -> None:
    """Keep what a person calls a unit."""
    room.painter.check(said.layer, [said.unit])
    room.annotations.label(room.digest, said.layer, said.unit, said.rater, said.words)


@routes.post("/api/studies/{study}/flags", status_code=201)
def flag(room: InRoom, said: Flagged) -> None:
    """Keep whether a person sees artifacts in a unit's top images."""
    room.painter.check(said.layer, [said.unit])
    room.annotations.flag(room.digest, said.layer, said.unit, said.rater, said.artifact)


@routes.get("/api/studies/{study}/layers/{layer}/tasks/{table}")
def next_unit(
    room: InRoom, layer: str, table: Literal["labels", "flags"], rater: Annotated[Rater, Query(max_length=100)]
) -> Task:
    """Return the next unit of a layer that a person has not judged: one that few have, in another order for each."""
    units = room.painter.source.shape(layer).units
    said = room.annotations.read(table, room.digest)
    said = said[said.layer == layer]
    own = set(said[said.rater == rater.strip()].unit)
    times = said.unit.value_counts()
    open_ones = [unit for unit in range(units) if unit not in own]
    unit = min(open_ones, key=lambda u: (int(times.get(u, 0)), _digest(rater, layer, u)), default=None)
    return Task(layer=layer, unit=unit, done=len(own), of=units)


@routes.get("/api/studies/{study}/layers/{layer}/units/{unit}/said")
def said_of(room: InRoom, layer: str, unit: UnitNumber) -> Said:
    """Return what people say of a unit."""
    room.painter.check(layer, [unit])
    tables = (room.annotations.read(table, room.digest) for table in ("labels", "flags"))
    labels, flags = (table[(table.layer == layer) & (table.unit == unit)] for table in tables)
    return Said(labels=list(zip(labels.rater, labels.words)), flags=list(zip(flags.rater, flags.artifact)))  # noqa: B905


@routes.post("/api/studies/{study}/pairs")
async def pair(room: InRoom, asked: PairRequest) -> Pair:
    """Return the next image that a person has not compared: as it is and without some units, in either order."""
    units = asked.units
    if units is None:
        flags = await run_in_threadpool(room.annotations.read, "flags", room.digest)
        units = artifact_units(flags, asked.layer)
        if not units:
            raise BadValue(f"nobody has flagged a unit of {asked.layer} yet; flag some, or name units")
    room.painter.check(asked.layer, units)
    comparison = _comparison(asked.layer, units)
    said = await run_in_threadpool(room.annotations.read, "preferences", room.digest)
    own = set(said[(said.rater == asked.rater.strip()) & (said.comparison == comparison)].picture)
    picture = next(id for id in range(len(own) + 1) if id not in own)
    strokes = [Stroke(action="remove", layer=asked.layer, units=list(units))]

    def draw(painter: Painter) -> list[str]:
        both = [painter.picture(picture, 0), painter.paint(picture, 0, strokes)]
        return [b64encode(png(each)).decode() for each in both]

    original, edited = await room.ask(draw)
    left, right = (edited, original) if _edited_is_left(comparison, picture, asked.rater) else (original, edited)
    return Pair(comparison=comparison, picture=picture, left=left, right=right)


@routes.post("/api/studies/{study}/preferences", status_code=201)
def prefer(room: InRoom, said: Preferred) -> None:
    """Keep which of two images a person finds more real."""
    edited = (said.choice == "left") == _edited_is_left(said.comparison, said.picture, said.rater)
    preferred = "edited" if edited else "original"
    room.annotations.prefer(room.digest, said.comparison, said.picture, said.rater, preferred)


@routes.get("/api/studies/{study}/annotations/{table}.{kind}", response_class=Response)
def export(room: InRoom, table: Literal["labels", "flags", "preferences"], kind: Literal["csv", "parquet"]) -> Response:
    """Return everybody's last answers as a file."""
    content = exported(room.annotations.read(table, room.digest), f".{kind}")
    name = f'attachment; filename="{table}.{kind}"'
    return Response(content, media_type=MEDIA[kind], headers={"content-disposition": name})


@routes.get("/api/studies/{study}/agreement")
def agreed(room: InRoom, fewest: Annotated[int, Query(ge=1, le=1000)] = 1) -> Agreed:
    """Compare what people call units with what dissection does (S-6.2)."""
    found = agreement(room.annotations.read("labels", room.digest), room.painter.source.dissection.units, fewest)
    return Agreed(labelled=found.labelled, consistent=found.consistent, confident=found.confident, same=found.same)


@routes.get("/api/studies/{study}/preferences")
def preferences(room: InRoom) -> list[Preference]:
    """Return for each comparison how often the edited image was found more real."""
    said = room.annotations.read("preferences", room.digest)
    results = []
    for comparison, own in said.groupby("comparison"):
        share, low, high, answers = preference(own)
        results.append(Preference(comparison=str(comparison), share=share, low=low, high=high, answers=answers))
    return results


def _comparison(layer: str, units: Sequence[int]) -> str:
    """Return a name for a comparison that says which units, or how many and a digest of which."""
    ordered = sorted(set(units))
    if len(ordered) <= TOLD:
        return f"without {layer}/{','.join(map(str, ordered))}"
    return f"without {len(ordered)} units of {layer} ({_digest(*ordered)[:12]})"


def _edited_is_left(comparison: str, picture: int, rater: str) -> bool:
    """Toss a coin that falls the same way whenever it is asked again."""
    return int(_digest(comparison, picture, rater.strip())[0], 16) % 2 == 0


def _digest(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()
