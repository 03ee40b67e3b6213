"""The models of an experiment, opened once a process from the names that travel."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ganatomy.generators import Generator, open_generator
from ganatomy.segmenters import Segmenter, open_segmenter


@dataclass(frozen=True)
class Models:
    """A generator and a segmenter: names, opened on first use and left behind when pickled, or models that are open.

    Attributes:
        generator_given, segmenter_given: a name, as in `open_generator` and `open_segmenter`, or the model itself.
        device: where models that are opened by name compute.
    """

    generator_given: str | Generator
    segmenter_given: str | Segmenter
    device: str

    @cached_property
    def generator(self) -> Generator:
        """The generator."""
        given = self.generator_given
        return open_generator(given, self.device) if isinstance(given, str) else given

    @cached_property
    def segmenter(self) -> Segmenter:
        """The segmenter."""
        given = self.segmenter_given
        return open_segmenter(given, self.device) if isinstance(given, str) else given

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}


def name_of(model: str | Generator | Segmenter) -> str:
    """Return the name by which a Spec knows a model: its own, or for an open one ``given:`` and its fingerprint."""
    return model if isinstance(model, str) else f"given:{model.fingerprint[:16]}"
