"""The models of an experiment, opened once a process from the names that travel."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ganatomy.generators import Generator, open_generator
from ganatomy.segmenters import Segmenter, open_segmenter


@dataclass(frozen=True)
class Models:
    """A generator and a segmenter by name; opened on first use, left behind when pickled.

    Attributes:
        generator_name, segmenter_name: as in `open_generator` and `open_segmenter`.
        device: where both compute.
    """

    generator_name: str
    segmenter_name: str
    device: str

    @cached_property
    def generator(self) -> Generator:
        """The generator."""
        return open_generator(self.generator_name, self.device)

    @cached_property
    def segmenter(self) -> Segmenter:
        """The segmenter."""
        return open_segmenter(self.segmenter_name, self.device)

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}
