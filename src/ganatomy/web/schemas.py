"""What comes over HTTP, and what goes back: every size has a limit, so no request can keep the models for long."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

PICTURES, STROKES, POINTS, UNITS = 16, 200, 500, 4096
"""Most pictures and strokes of a request, points of a stroke, units of a set."""

PictureId = Annotated[int, Field(ge=0, lt=1 << 53, description="which picture: the id of its latent")]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Unit = Annotated[int, Field(ge=0, lt=1 << 20)]


class Strict(BaseModel):
    """A body in which a word that we do not know is a mistake."""

    model_config = ConfigDict(extra="forbid")


class Stroke(Strict):
    """One stroke of the brush: which units, set to what, along which path.

    `draw` sets the units to what they are where the concept is (k, `multiple` times; SPEC 4), without a concept to
    their own strong activation. `remove` sets them to 0.
    """

    action: Literal["draw", "remove"]
    layer: Name
    concept: Name | None = Field(None, description="what is drawn; it also ranks the units where none are named")
    units: list[Unit] | None = Field(None, max_length=UNITS, description="else the best for the concept")
    by: Literal["ace", "iou"] | None = Field(None, description="the ranking: ACE where it was computed, else IoU")
    top: int = Field(20, ge=1, le=UNITS, description="how many of the ranking")
    strength: Share = Field(1.0, description="how far each unit is taken: α")
    multiple: float = Field(1.0, ge=-10, le=10, allow_inf_nan=False, description="how many times k")
    points: list[tuple[Share, Share]] = Field(
        default_factory=list,
        max_length=POINTS,
        description="the path: x and y as shares of width and height; empty for the whole picture",
    )
    radius: Share = Field(0.08, description="of the brush, as a share of the picture's width")
    pooling: Literal["max", "mean"] = Field("max", description="how the stroke reaches the layer's grid")


class Painting(Strict):
    """A picture with strokes on it."""

    id: PictureId
    seed: int = Field(0, ge=0, lt=1 << 31)
    strokes: list[Stroke] = Field(default_factory=list, max_length=STROKES)


class PaintRequest(Painting):
    """A painting to be drawn; a newer one of the same stream makes it useless."""

    stream: str = Field("", max_length=64, description="whose strokes: of one stream only the newest is drawn")
    number: int = Field(0, ge=0, lt=1 << 53, description="counts up within the stream")


class GenerateRequest(Strict):
    """Several pictures with the same strokes."""

    ids: list[PictureId] = Field(min_length=1, max_length=PICTURES)
    seed: int = Field(0, ge=0, lt=1 << 31)
    strokes: list[Stroke] = Field(default_factory=list, max_length=STROKES)


class Pictures(BaseModel):
    """Pictures as PNG files, base64."""

    pictures: list[str]


class Change(BaseModel):
    """How much of the picture a concept covers, before and after."""

    concept: str
    category: str
    before: float = Field(description="share of the pixels")
    after: float


class Changes(BaseModel):
    """What strokes did to a picture, the greatest change first."""

    changes: list[Change]
    pixels: float = Field(description="mean absolute change of the picture, of 255")


class ActiveUnit(BaseModel):
    """A unit, and how active it is somewhere."""

    layer: str
    unit: int
    activation: float
    quantile: float = Field(description="share of the sample's places that are no higher: 1 is as high as it gets")
    label: str | None
    iou: float | None


class UnitRow(BaseModel):
    """A unit and how well it fits its label, or the concept that was asked for."""

    layer: str
    unit: int
    label: str | None
    category: str | None
    iou: float | None
    control: float | None = Field(description="the same with features and pictures mismatched")
    matched: bool


class Region(Strict):
    """A place in a picture: the mean over a path of the brush, or a single point."""

    id: PictureId
    seed: int = Field(0, ge=0, lt=1 << 31)
    layer: Name
    points: list[tuple[Share, Share]] = Field(min_length=1, max_length=POINTS)
    radius: Share = 0.0
    top: int = Field(20, ge=1, le=UNITS)


class Active(BaseModel):
    """What is active at a place, and what the segmenter sees there."""

    units: list[ActiveUnit]
    concepts: list[str] = Field(description="one for each plane that names anything")


class CommonRequest(Strict):
    """Pictures that have something in common."""

    ids: list[PictureId] = Field(min_length=1, max_length=PICTURES)
    seed: int = Field(0, ge=0, lt=1 << 31)
    layer: Name
    top: int = Field(20, ge=1, le=UNITS)


class Brush(BaseModel):
    """A concept that can be drawn and removed at a layer."""

    concept: str
    category: str
    colour: str
    by: Literal["ace", "iou"]
    units: list[int] = Field(description="best first")
    iou: float = Field(description="of the best unit")


class LayerFacts(BaseModel):
    """A layer that was dissected."""

    name: str
    units: int
    height: int
    width: int


class StudyFacts(BaseModel):
    """A study that is served."""

    name: str
    generator: str
    segmenter: str
    images: int
    height: int
    width: int
    layers: list[LayerFacts]
    layer: str = Field(description="where painting starts: the layer with the best brushes")


class Reason(BaseModel):
    """Why a request was refused."""

    reason: str
