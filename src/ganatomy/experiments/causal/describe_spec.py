"""What is asked of a description in words, and which words there are to choose from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganatomy.core.errors import BadFile, BadValue
from ganatomy.core.files import read_text
from ganatomy.core.layer_steps import middle_layer
from ganatomy.experiments.causal.choice import UnitQuery, ranked_layers, select_units, take_window
from ganatomy.experiments.causal.dissected_model import DissectedModel, SampleSpec, at_least, checked_set

MOST = 20_000
"""Words; more than an English learner's dictionary has, and numbers of each are kept for every unit."""
COMMENT = "#"
LEAST = 0.1
"""The least share of the sides: of random images every crop is described, and there are many small ones."""


@dataclass(frozen=True, kw_only=True)
class DescribeSpec(SampleSpec):
    """Which units to describe, by which words.

    Attributes:
        layer: where the units are read.
        units: which are described.
        describer: name of a model that describes images and words by vectors of one space, ``clip:DIR`` or a module
            with a method ``words``; or of one that writes captions, ``caption:DIR`` or a module with a method
            ``captions``; as in `open_features`.
        words: to choose from; none for those of the captions.
        images: how many random images the images of a unit are compared with.
        top: how many images show a unit: of those that the dissection keeps, the ones where it is greatest.
        crop: of each, the part is compared in which the unit is greatest on average, whose sides are that share of the
            image's, with the same part of random images; 1 for whole images.
        draws: so many sets of as many random images show how well the best of the words fits by chance.
        chance: a word describes a unit if the best word of at most this share of these sets fits as well.
        random: so many other units, active in an image, are each ablated there alone, for comparison.
        show: of so many units, those that are described best, images are kept, before and after.
        edited: the layers at which units are ablated, a block at several steps; `layer` alone, where there are none.
    """

    units: tuple[int, ...]
    describer: str
    words: tuple[str, ...]
    top: int = 10
    crop: float = 0.5
    draws: int = 1000
    chance: float = 0.01
    random: int = 2
    show: int = 8
    edited: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        checked_set(self.units)
        if self.words:
            checked_words(self.words)
        at_least(self, top=2, draws=1, random=1, show=0, images=2 * self.top)
        if not LEAST <= self.crop <= 1:
            raise BadValue(f"crop={self.crop} is no share of the image's sides; give {LEAST:g} to 1")
        if not 1 / (1 + self.draws) <= self.chance < 1:
            raise BadValue(
                f"chance={self.chance} is not a share that draws={self.draws} sets can show; give 1/(1 + draws) or more"
            )

    def layers(self) -> list[str]:
        """Return every layer that is edited, the first one first."""
        return list(self.edited) or [self.layer]


@dataclass(frozen=True)
class Question:
    """What a person gives.

    Attributes:
        words: to choose from, with commas between them, or a list; or a file with one a line. If they are not given,
            those of the captions that the model writes.
        layer: where the units are; the only one that was dissected, if it is not given.
        units: which units; all, if they are not given.
    """

    words: str | Sequence[str] | None = None
    layer: str | None = None
    units: Sequence[int] | None = None


def named(source: DissectedModel, options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a Spec that options name, taken out of them.

    Units of a block at several steps are read at the dissected one of these steps that is nearest to their middle.

    Raises:
        UnknownName: no such layer.
        BadValue: no such unit, no words, or several layers and none of them given; see also `take_window`.
        BadFile: the file of words cannot be read.
    """
    window = take_window(source, options)
    layer = middle_layer(ranked_layers(source, window), window) if window else _one_layer(source, options)
    units, words = (options.pop(name, None) for name in ("units", "words"))
    count = source.shape(layer).units
    chosen = select_units(source, layer, UnitQuery(units=range(count) if units is None else units))
    found = read_words(words) if isinstance(words, str) else tuple(words or ())
    edited = tuple(window) if window and window != [layer] else ()
    return {"layer": layer, "units": chosen.units, "words": found, "edited": edited}


def _one_layer(source: DissectedModel, options: dict[str, Any]) -> str:
    """Take the dissected layer that is meant out of options; the only one, if none is named."""
    layer, layers = options.pop("layer", None), list(source.dissection.layers)
    if layer is None and len(layers) > 1:
        raise BadValue(f"the dissection has the layers {', '.join(layers)}; give one")
    layer = layers[0] if layer is None else str(layer)
    source.check_dissected(layer)
    return layer


def read_words(text: str) -> tuple[str, ...]:
    """Return words with commas between them, or those of a file, one a line; lines that begin with # are left out.

    Raises:
        BadFile: the file is missing or cannot be read as text.

    >>> read_words("tree, stained glass window")
    ('tree', 'stained glass window')
    """
    path = Path(text)
    if "," not in text and ("/" in text or path.suffix):
        try:
            lines = read_text(path).splitlines()
        except FileNotFoundError:
            raise BadFile(f"{text}: no such file of words") from None
        except (OSError, ValueError) as error:
            raise BadFile(f"{text}: no file of words, one a line ({error})") from error
    else:
        lines = text.split(",")
    return tuple(word for line in lines if (word := line.strip()) and not word.startswith(COMMENT))


def checked_words(words: Sequence[str]) -> None:
    """Refuse words that cannot be chosen from.

    Raises:
        BadValue: there are none, too many, an empty one, or one twice.
    """
    if not words:
        raise BadValue("there are no words to choose from; give some, or a file with one a line")
    if len(words) > MOST:
        raise BadValue(f"{len(words):,} words are too many; give at most {MOST:,}")
    if not all(word.strip() for word in words):
        raise BadValue("a word is empty; give each some letters")
    if len(set(words)) < len(words):
        twice = next(word for i, word in enumerate(words) if word in words[:i])
        raise BadValue(f"words name {twice!r} twice; give each once")
