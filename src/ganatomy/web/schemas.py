"""Bodies of requests and answers: every size has a limit, so no request can occupy the models for long."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

IMAGES, STROKES, POINTS, UNITS = 16, 200, 500, 4096
"""Maximum number of images and strokes of a request, points of a stroke, units of a set."""
ALL_POINTS = 10_000
"""Maximum number of points of all strokes of a request."""

ImageId = Annotated[int, Field(ge=0, lt=1 << 53, description="which image: the id of its latent")]
Seed = Annotated[int, Field(ge=0, lt=1 << 31)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Unit = Annotated[int, Field(ge=0, lt=1 << 20)]
Top = Annotated[int, Field(ge=1, le=UNITS, description="how many units")]
Path = Annotated[list[tuple[Share, Share]], Field(max_length=POINTS)]
"""x and y as shares of width and height."""
Rater = Annotated[str, Field(min_length=1, max_length=100, description="who says so")]


class Strict(BaseModel):
    """A body without other fields."""

    model_config = ConfigDict(extra="forbid")


class PhotographState(BaseModel):
    """A photograph that was opened, and how far its inversion is."""

    id: int = Field(description="the id of its image, once that is finished")
    share: float = Field(description="how much of the inversion is done, from 0 to 1")
    finished: bool
    reason: str | None = Field(default=None, description="why it failed")
    error: float | None = Field(
        default=None, description="mean absolute difference of the reconstruction, of the range"
    )
    kept: float | None = Field(default=None, description="share of the pixels that keep their label in it")
    place: str | None = Field(
        default=None, description="among the images of the model: inside, at the edge, far outside"
    )
    distance: float | None = Field(
        default=None, description="from the nearest image of the model, as a multiple of what is usual among them"
    )


class CloneSource(Strict):
    """Where a clone takes its features from."""

    id: ImageId
    seed: Seed = 0
    at: tuple[float, float] = Field(
        description="x and y, as shares of width and height, of the place that goes to the first point of the path"
    )

    @field_validator("at")
    @classmethod
    def _finite(cls, at: tuple[float, float]) -> tuple[float, float]:
        if not all(-2 <= each <= 2 for each in at):  # NaN fails too
            raise ValueError("at is not within -2 and 2")
        return at


class Stroke(Strict):
    """One stroke of the brush: which units, set to what, along which path.

    `draw` sets the units to what they are where the concept is (k, `multiple` times; SPEC 4), without a concept to
    their own strong activation. `remove` sets them to 0, or, all of them, to what they are without the concept.
    `clone` sets all units of `layers` to what they are in another place, of this image or another: the place moves
    with the brush, and the edges are soft.
    """

    action: Literal["draw", "remove", "clone"]
    layer: Name | None = Field(default=None, description="required to draw and to remove")
    concept: Name | None = Field(
        default=None, description="what is drawn; it also ranks the units where none are named"
    )
    units: list[Unit] | None = Field(default=None, max_length=UNITS, description="else the best for the concept")
    by: Literal["best", "all", "ace", "iou"] | None = Field(
        default=None,
        description="best: the measured setting of the concept, which may set several layers; all: all units of the "
        "default layers, at each place to what they are with the concept (draw) or without it (remove); ace, iou: the "
        "ranking; none: the first of best, all, ace, iou that there is; ace or iou where top is given",
    )
    top: int = Field(default=20, ge=1, le=UNITS, description="how many of the ranking")
    strength: Share = Field(default=1.0, description="how far each unit is taken: α")
    multiple: float = Field(default=1.0, ge=-10, le=10, allow_inf_nan=False, description="how many times k")
    points: Path = Field(
        default_factory=list,
        description="the path: x and y as shares of width and height; empty for the whole image",
    )
    radius: Share = Field(default=0.08, description="of the brush, as a share of the image's width")
    pooling: Literal["max", "mean"] = Field(default="max", description="how the stroke reaches the layer's grid")
    at_steps: str | None = Field(
        default=None,
        pattern=r"^\d{1,4}(\.\.\d{1,4})?$",
        description="of a model that makes an image in steps: the first step and the last at which the stroke edits, "
        "4..8; none: from the step of its layer to the last",
    )
    source: CloneSource | None = Field(default=None, description="required to clone")
    layers: list[Name] | None = Field(
        default=None, min_length=1, max_length=64, description="where a clone copies; none: where it works best"
    )

    @model_validator(mode="after")
    def _complete(self) -> "Stroke":
        if self.action == "clone" and (self.source is None or not self.points):
            raise ValueError("a stroke that clones needs a source, and points")
        if self.action != "clone" and self.layer is None:
            raise ValueError(f"a stroke that is to {self.action} needs a layer")
        return self


def _limit_points(strokes: list[Stroke]) -> list[Stroke]:
    points = sum(len(stroke.points) for stroke in strokes)
    if points > ALL_POINTS:
        raise ValueError(f"the strokes have {points} points; the most is {ALL_POINTS}")
    return strokes


Strokes = Annotated[list[Stroke], Field(default_factory=list, max_length=STROKES), AfterValidator(_limit_points)]


class _ImageRequest(Strict):
    id: ImageId
    seed: Seed = 0


class _ImageSetRequest(Strict):
    ids: list[ImageId] = Field(min_length=1, max_length=IMAGES)
    seed: Seed = 0


class Painting(_ImageRequest):
    """An image with strokes on it."""

    strokes: Strokes


class PaintRequest(Painting):
    """A painting to be drawn; a newer one of the same stream makes it useless."""

    stream: str = Field(default="", max_length=64, description="whose strokes: of one stream only the newest is drawn")
    number: int = Field(default=0, ge=0, lt=1 << 53, description="counts up within the stream")


class GenerateRequest(_ImageSetRequest):
    """Several images with the same strokes."""

    strokes: Strokes
    edits: dict[str, Any] | None = Field(
        default=None, description="interventions as `ganatomy apply` reads them, instead of strokes"
    )


class CommonRequest(_ImageSetRequest):
    """Images that have something in common."""

    layer: Name
    top: Top = 20


class Region(_ImageRequest):
    """A part of an image: a path of the brush, or a single point."""

    layer: Name
    points: Path = Field(min_length=1)
    radius: Share = 0.0
    top: Top = 20


class FeaturesRequest(_ImageRequest):
    """Units of a layer, in a part of an image."""

    layer: Name
    units: list[Unit] = Field(min_length=1, max_length=UNITS)
    points: Path = Field(default_factory=list, description="the path; empty for everywhere")
    radius: Share = 0.0
    maps: bool = Field(default=False, description="whether to return whole maps too")


class Images(BaseModel):
    """Images as PNG files, base64."""

    images: list[str]


class Change(BaseModel):
    """How much of the image a concept covers, before and after."""

    concept: str
    category: str
    before: float = Field(description="share of the pixels")
    after: float
    points: float = Field(description="after less before, in percentage points of the image")
    painted: bool = Field(description="whether a stroke was of this concept, or copied it")
    sentence: str = Field(description="the change in words; where nothing appeared, why, if that is known")


class Changes(BaseModel):
    """The effect of strokes on an image: what was painted first, then the greatest change."""

    changes: list[Change]
    pixels: float = Field(description="mean absolute change of the image, of 255")


class _ScoredUnit(BaseModel):
    layer: str
    unit: int
    label: str | None
    iou: float | None
    matched: bool


class ActiveUnit(_ScoredUnit):
    """A unit, how active it is somewhere, and the concept there that it is matched to, or else its label."""

    activation: float
    quantile: float = Field(description="share of the sample's places that are no higher: 1 is as high as it gets")


class UnitRow(_ScoredUnit):
    """A unit and how well it fits its label, or the concept that was asked for."""

    category: str | None
    control: float | None = Field(description="the same with features and images mismatched")
    threshold: float = Field(description="the activation above which it counts as on")
    greatest: float = Field(description="its greatest activation in the sample")


class Active(BaseModel):
    """The active units of a part of an image, and what the segmenter finds there."""

    units: list[ActiveUnit]
    concepts: list[str] = Field(description="one for each plane that names anything")


class FeaturesFound(BaseModel):
    """Activations of units in a part of an image, in the order of the request."""

    layer: str
    height: int
    width: int
    means: list[float] = Field(description="of each unit, over the part; places count by how much of them is in it")
    greatest: list[float] = Field(description="of each unit, among the places that the part touches")
    maps: list[list[list[float]]] | None = Field(description="[unit][row][column], if they were wanted")


class Ranking(BaseModel):
    """The units of a layer for a concept, best first."""

    layer: str
    concept: str
    by: Literal["ace", "iou"]
    units: list[int]
    ious: list[float] = Field(description="of each unit with the concept")


class LayerFacts(BaseModel):
    """A dissected layer."""

    name: str
    units: int
    height: int
    width: int


class StudyFacts(BaseModel):
    """A served study."""

    name: str
    generator: str
    segmenter: str
    images: int
    height: int
    width: int
    layers: list[LayerFacts]
    layer: str = Field(description="where painting starts: the layer with the best brushes")
    steps: int = Field(description="in how many the model makes an image; 0: it makes none in steps")
    units: int
    matched: int = Field(description="units that match a concept")
    concepts: int = Field(description="concepts that some unit matches")


class Report(BaseModel):
    """A page about a study, or about what was measured with its units."""

    title: str = Field(description="the question that it asks")
    answer: str = Field(description="its first finding, in a line")
    path: str
    address: str = Field(description="the path as it stands in an address, after reports/STUDY/")


class _UnitAnswer(Strict):
    layer: Name
    unit: Unit
    rater: Rater


class LabelAnswer(_UnitAnswer):
    """What a person calls a unit."""

    words: Annotated[str, Field(min_length=1, max_length=100, description="one or two words")]


class FlagAnswer(_UnitAnswer):
    """Whether a person sees artifacts in a unit's top images."""

    artifact: bool


class PairRequest(Strict):
    """Two images to choose from: as they are, and without some units."""

    layer: Name
    rater: Rater
    units: list[Unit] | None = Field(default=None, max_length=UNITS, description="else those that people flagged")
    skip: list[ImageId] = Field(default_factory=list, max_length=500, description="images that are not asked about")
    image: ImageId | None = Field(default=None, description="ask about this one again, to change an answer")


class Pair(BaseModel):
    """Two images as PNG files, base64, in random order."""

    comparison: str
    image: int
    left: str
    right: str


class PairAnswer(Strict):
    """Which of a pair a person finds more real."""

    comparison: Name
    image: ImageId
    rater: Rater
    choice: Literal["left", "right", "same"]


class UnitAnnotations(BaseModel):
    """All annotations of a unit, the oldest first."""

    labels: list[tuple[str, str]] = Field(description="who, and the words")
    flags: list[tuple[str, bool]] = Field(description="who, and whether there are artifacts")


class NextUnit(BaseModel):
    """The next unit that a person has not annotated yet."""

    layer: str
    unit: int | None = Field(description="None when all are done")
    done: int
    of: int


class AgreementCounts(BaseModel):
    """How far people and dissection agree (S-6.2), with 95 % intervals of the shares; None of nothing."""

    labelled: int
    consistent: int
    confident: int
    same: int
    consistent_interval: tuple[float, float] | None = Field(description="of consistent / labelled")
    same_interval: tuple[float, float] | None = Field(description="of same / confident")


class Preference(BaseModel):
    """How often the edited image was found more real, with a 95 % interval."""

    comparison: str
    share: float | None = Field(description="of the answers; None where there are none")
    low: float | None
    high: float | None
    answers: int = Field(description="without those of people who saw no difference")
    same: int = Field(description="people who saw no difference")


class RatersAgreement(BaseModel):
    """How far people agree with each other: Krippendorff's alpha; None where it is not defined."""

    table: Literal["labels", "flags", "preferences"]
    comparison: str | None = Field(description="of preferences")
    alpha: float | None = Field(description="1: full agreement; 0: that of chance")
    low: float | None = Field(description="of its 95 % interval")
    high: float | None
    items: int = Field(description="units or images that several people answered")
    answers: int
    raters: int


class ErrorBody(BaseModel):
    """Why a request was refused; `code` is the kind of a user's mistake, see `GanatomyError`."""

    reason: str
    code: str | None = None
