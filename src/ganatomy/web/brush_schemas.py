"""Answers about brushes: what can be painted, how a brush was measured, where painting starts."""

from typing import Literal

from pydantic import BaseModel, Field


class Brush(BaseModel):
    """A concept that can be drawn and removed at a layer."""

    concept: str
    category: str
    colour: str
    by: Literal["best", "all", "ace", "iou"] = Field(
        description="what a stroke draws with. best: the measured setting; all: not measured yet, all units of the "
        "default layers at k(place); ace, iou: the ranking"
    )
    setting: str = Field(description="the same in words")
    units: list[int] = Field(description="of the ranking, best first")
    iou: float = Field(description="of the best unit")
    radius: float = Field(description="a brush of this size, a share of the image's width, was measured to work")
    first: bool = Field(description="whether it is one of the eight that are shown first")


class Appearance(BaseModel):
    """At what share of places the concept appeared, with a 95 % interval."""

    share: float | None = Field(description="None: no such place was found")
    error: float | None = Field(description="standard error, the places of one image taken as one draw")
    low: float | None
    high: float | None
    places: int


class Outcome(BaseModel):
    """What a setting does, at places where the concept is likely and where it is not."""

    likely: Appearance
    unlikely: Appearance


class MeasuredSetting(BaseModel):
    """The setting that inserts a concept best, and what it did on images that had no part in the choice."""

    name: str = Field(description="in words: all units at k(place)")
    layers: list[str]
    units: list[int] = Field(description="how many units of each layer are set")
    constant: Literal["k", "place"]
    multiple: float
    strength: float
    cell: int = Field(description="it was measured at squares of so many places of the last layer's grid")
    radius: float = Field(description="of a brush of that size, as a share of the image's width")
    likely_means: str = Field(description="allowed by the renderer, or usual")
    unlikely_means: str = Field(description="forbidden by the renderer, or never seen")
    measured: Outcome
    control: Outcome
    control_means: str
    paper: Outcome = Field(description="20 units of the first layer at k")


class BrushSetting(BaseModel):
    """How far the measuring of a brush is."""

    concept: str
    category: str
    state: Literal["measured", "running", "waiting", "failed"]
    progress: float = Field(ge=0, le=1)
    seconds_left: float | None = Field(description="estimated; None where nothing is known of it")
    reason: str | None = Field(description="why it failed")
    result: MeasuredSetting | None


class BrushSettings(BaseModel):
    """The brushes that are measured, in the order in which they are shown."""

    measuring: bool = Field(description="whether this server measures them")
    kept: bool = Field(description="whether what is measured is kept next to the study; False: for this server only")
    note: str = Field(description="the same in words; empty if there is nothing to say")
    brushes: list[BrushSetting]


class Start(BaseModel):
    """Where painting starts: a good image, and a brush that works."""

    id: int
    seed: int
    layer: str
    concept: str | None = Field(description="None: nothing can be painted")
    concepts: list[str] = Field(description="matched concepts that the image shows")
