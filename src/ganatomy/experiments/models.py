"""The models of an experiment, opened once a process from the names that travel."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ganatomy.errors import BadModel
from ganatomy.generators import Generator, Observation, Subject, open_subject
from ganatomy.segmenters import Segmenter, open_segmenter
from ganatomy.segmenters.labels import GivenLabels
from ganatomy.types import Labels


@dataclass(frozen=True)
class Models:
    """A subject and a segmenter: names, opened on first use and left behind when pickled, or models that are open.

    The subject is a generator, or what only looks at pictures.

    Attributes:
        generator_given, segmenter_given: a name, as in `open_generator` and `open_segmenter`, or the model itself.
        device: where models that are opened by name compute.
    """

    generator_given: str | Subject
    segmenter_given: str | Segmenter
    device: str

    @cached_property
    def subject(self) -> Subject:
        """What is dissected."""
        given = self.generator_given
        return open_subject(given, self.device) if isinstance(given, str) else given

    @property
    def generator(self) -> Generator:
        """The subject, if it draws.

        Raises:
            BadModel: it only looks at pictures.
        """
        if not isinstance(self.subject, Generator):
            raise BadModel(f"{name_of(self.generator_given)} looks at pictures and draws none; this takes a generator")
        return self.subject

    @cached_property
    def segmenter(self) -> Segmenter:
        """The segmenter."""
        given = self.segmenter_given
        return open_segmenter(given, self.device) if isinstance(given, str) else given

    def labels(self, seen: Observation) -> Labels:
        """Return the labels of what was seen: those that came with the pictures, if the segmenter stands for them."""
        if isinstance(self.segmenter, GivenLabels):
            return self.segmenter.of(seen.shown)
        return self.segmenter(seen.images)

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}


def name_of(model: str | Subject | Segmenter) -> str:
    """Return the name by which a Spec knows a model: its own, or for an open one ``given:`` and its fingerprint."""
    return model if isinstance(model, str) else f"given:{model.fingerprint[:16]}"
