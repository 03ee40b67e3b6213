"""Human annotations: names of units, flags, which image is more real; and what comes of them."""

import hashlib
import math
from base64 import b64encode
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from ganatomy.annotations import Reliability, agreement, artifact_units, preference, reliability
from ganatomy.annotations.agreement import share_a_word, wilson
from ganatomy.annotations.store import COLUMNS, exported
from ganatomy.core.errors import BadValue
from ganatomy.web.app_state import Context, UnitNumber, page
from ganatomy.web.paint_sessions import Painter
from ganatomy.web.png import png
from ganatomy.web.schemas import (
    AgreementCounts,
    FlagAnswer,
    LabelAnswer,
    NextUnit,
    Pair,
    PairAnswer,
    PairRequest,
    Preference,
    Rater,
    RatersAgreement,
    Stroke,
    UnitAnnotations,
)

routes = APIRouter()
MEDIA = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
MAX_NAMED = 8
"""Units that a comparison names one by one."""


@routes.get("/annotate/{study}", response_class=HTMLResponse, include_in_schema=False)
async def annotate_page(context: Context) -> str:
    """Ask people."""
    dissection = context.painter.source.dissection
    best = await context.ask(lambda painter: painter.best_layer())
    layers, generator = list(dissection.layers), dissection.spec.generator
    return page("annotate.html", study=context.name, generator=generator, layers=layers, best=best)


@routes.post("/api/studies/{study}/labels", status_code=201)
def label(context: Context, answer: LabelAnswer) -> None:
    """Keep what a person calls a unit."""
    context.painter.check(answer.layer, [answer.unit])
    context.annotations.label(context.digest, answer.layer, answer.unit, answer.rater, answer.words)


@routes.post("/api/studies/{study}/flags", status_code=201)
def flag(context: Context, answer: FlagAnswer) -> None:
    """Keep whether a person sees artifacts in a unit's top images."""
    context.painter.check(answer.layer, [answer.unit])
    context.annotations.flag(context.digest, answer.layer, answer.unit, answer.rater, answer.artifact)


@routes.get("/api/studies/{study}/layers/{layer}/tasks/{table}")
def next_unit(
    context: Context,
    layer: str,
    table: Literal["labels", "flags"],
    rater: Annotated[Rater, Query(max_length=100)],
    skip: Annotated[list[int] | None, Query(max_length=500, description="units that are asked about last")] = None,
) -> NextUnit:
    """Return the next unit of a layer that a person has not judged, in another order for each.

    First those that one other has judged, as agreement needs two; then those that the fewest have.
    """
    units = context.painter.source.shape(layer).units
    answers = context.annotations.read(table, context.digest)
    answers = answers[answers.layer == layer]
    done = set(answers[answers.rater == rater.strip()].unit)
    times = answers.unit.value_counts()
    remaining = [unit for unit in range(units) if unit not in done]
    later = set(skip or ())

    def turn(unit: int) -> tuple[bool, bool, int, str]:
        had = int(times.get(unit, 0))
        return unit in later, had != 1, had, _digest(rater, layer, unit)

    unit = min(remaining, key=turn, default=None)
    return NextUnit(layer=layer, unit=unit, done=len(done), of=units)


@routes.get("/api/studies/{study}/layers/{layer}/units/{unit}/annotations")
def unit_annotations(context: Context, layer: str, unit: UnitNumber) -> UnitAnnotations:
    """Return what people say of a unit."""
    context.painter.check(layer, [unit])
    tables = (context.annotations.read(table, context.digest) for table in ("labels", "flags"))
    labels, flags = (table[(table.layer == layer) & (table.unit == unit)] for table in tables)
    return UnitAnnotations(labels=list(zip(labels.rater, labels.words)), flags=list(zip(flags.rater, flags.artifact)))  # noqa: B905


@routes.post("/api/studies/{study}/pairs")
async def pair(context: Context, request: PairRequest) -> Pair:
    """Return the next image that a person has not compared: as it is and without some units, in either order."""
    units = request.units
    if units is None:
        flags = await run_in_threadpool(context.annotations.read, "flags", context.digest)
        units = artifact_units(flags, request.layer)
        if not units:
            raise BadValue(f"nobody has flagged a unit of {request.layer} yet; flag some, or name units")
    context.painter.check(request.layer, units)
    comparison = _comparison(request.layer, units)
    answers = await run_in_threadpool(context.annotations.read, "preferences", context.digest)
    done = {
        *answers[(answers.rater == request.rater.strip()) & (answers.comparison == comparison)].image,
        *request.skip,
    }
    next_image = next(id for id in range(len(done) + 1) if id not in done)
    image = next_image if request.image is None else request.image
    strokes = [Stroke(action="remove", layer=request.layer, units=list(units))]

    def draw(painter: Painter) -> list[str]:
        both = [painter.image(image, 0), painter.paint(image, 0, strokes)]
        return [b64encode(png(each)).decode() for each in both]

    original, edited = await context.ask(draw)
    left, right = (edited, original) if _edited_is_left(comparison, image, request.rater) else (original, edited)
    return Pair(comparison=comparison, image=image, left=left, right=right)


@routes.post("/api/studies/{study}/preferences", status_code=201)
def prefer(context: Context, answer: PairAnswer) -> None:
    """Keep which of two images a person finds more real."""
    edited = (answer.choice == "left") == _edited_is_left(answer.comparison, answer.image, answer.rater)
    preferred = "same" if answer.choice == "same" else "edited" if edited else "original"
    context.annotations.prefer(context.digest, answer.comparison, answer.image, answer.rater, preferred)


@routes.get("/api/studies/{study}/annotations/{table}.{kind}", response_class=Response)
def export(
    context: Context, table: Literal["labels", "flags", "preferences"], kind: Literal["csv", "parquet"]
) -> Response:
    """Return everybody's last answers as a file."""
    content = exported(context.annotations.read(table, context.digest), f".{kind}")
    name = f'attachment; filename="{table}.{kind}"'
    return Response(content, media_type=MEDIA[kind], headers={"content-disposition": name})


@routes.get("/api/studies/{study}/agreement")
def agreed(context: Context, fewest: Annotated[int, Query(ge=1, le=1000)] = 1) -> AgreementCounts:
    """Compare what people call units with what dissection does (S-6.2)."""
    units = context.painter.source.dissection.units
    found = agreement(context.annotations.read("labels", context.digest), units, fewest)
    return AgreementCounts(
        labelled=found.labelled,
        consistent=found.consistent,
        confident=found.confident,
        same=found.same,
        consistent_interval=wilson(found.consistent, found.labelled) if found.labelled else None,
        same_interval=wilson(found.same, found.confident) if found.confident else None,
    )


@routes.get("/api/studies/{study}/preferences")
def preferences(context: Context) -> list[Preference]:
    """Return for each comparison how often the edited image was found more real."""
    results = []
    for comparison, own in context.annotations.read("preferences", context.digest).groupby("comparison"):
        *numbers, answers = preference(own)
        share, low, high = map(_or_none, numbers)
        same = len(own) - answers
        results.append(
            Preference(comparison=str(comparison), share=share, low=low, high=high, answers=answers, same=same)
        )
    return results


@routes.get("/api/studies/{study}/reliability")
def raters_agreement(context: Context) -> list[RatersAgreement]:
    """Return how far people agree with each other: on labels (a word in common), flags, and each comparison."""
    labels, flags, chosen = (context.annotations.read(table, context.digest) for table in COLUMNS)
    found: list[tuple[str, str | None, Reliability]] = [
        ("labels", None, reliability(labels, ["layer", "unit"], "words", share_a_word)),
        ("flags", None, reliability(flags, ["layer", "unit"], "artifact")),
    ]
    for comparison, own in chosen.groupby("comparison"):
        found.append(("preferences", str(comparison), reliability(own, ["image"], "preferred")))
    return [
        RatersAgreement.model_validate(
            {"table": table, "comparison": comparison, **{name: _or_none(value) for name, value in vars(each).items()}}
        )
        for table, comparison, each in found
    ]


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _comparison(layer: str, units: Sequence[int]) -> str:
    """Return a name for a comparison that says which units, or how many and a digest of which."""
    ordered = sorted(set(units))
    if len(ordered) <= MAX_NAMED:
        return f"without {layer}/{','.join(map(str, ordered))}"
    return f"without {len(ordered)} units of {layer} ({_digest(*ordered)[:12]})"


def _edited_is_left(comparison: str, image: int, rater: str) -> bool:
    """Return a random side that is the same whenever it is asked again."""
    return int(_digest(comparison, image, rater.strip())[0], 16) % 2 == 0


def _digest(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()
