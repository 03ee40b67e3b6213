"""What is asked of a sparse autoencoder that is set beside other dictionaries of its layer."""

from collections.abc import Sequence
from dataclasses import dataclass

from ganatomy.core.errors import BadValue
from ganatomy.scenes import grammar as grammar_of

OWN, UNTRAINED = "autoencoder", "untrained"
NAMES = (OWN, "units", "rotation", "principal", UNTRAINED)
"""The dictionaries in the order of every table."""
LEAST = {"images": 4, "edited": 2, "draws": 2, "pairs": 2, "seed": 0}


@dataclass(frozen=True)
class DictionarySpec:
    """Which autoencoder is set beside the others, and on which images.

    Attributes:
        autoencoder: its name, ``sae:GENERATOR?layer=L&file=FILE``.
        segmenter: as in `open_segmenter`.
        images: of the dissections; the levels are chosen on as many others.
        concepts: those whose features are ablated and inserted; empty for the six that the dictionaries know best.
        edited: how many images are edited.
        pairs: scene pairs of each kind of object, at most.
        draws: resamples that errors are taken from.
        seed: of the images, the rotation, and the weights of the untrained autoencoder.
        grammar: category of the rendered scenes that the model was trained on; empty for what a bundled one says.
    """

    autoencoder: str
    segmenter: str = "bundled:scenes"
    images: int = 300
    concepts: Sequence[str] = ()
    edited: int = 60
    pairs: int = 40
    draws: int = 60
    seed: int = 0
    grammar: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "concepts", tuple(self.concepts))
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise BadValue(f"{name}={getattr(self, name)} is too few; give at least {least}")
        if self.grammar:
            grammar_of(self.grammar)  # raises where there is none
