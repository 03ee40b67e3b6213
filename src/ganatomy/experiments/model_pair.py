"""The models of an experiment, opened once a process from the names that travel."""

import socket
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ganatomy.core.errors import BadFile, BadModel
from ganatomy.core.tensor_types import Labels
from ganatomy.models.generators import Generator, Observation, Subject, open_subject
from ganatomy.models.segmenters import Segmenter, open_segmenter
from ganatomy.models.segmenters.labels import DatasetLabels
from ganatomy.models.segmenters.protocol import check_labels, check_range


@dataclass
class Opened:
    """The models of a pair as far as they are open, and whether the labels were found to be concepts."""

    subject: Subject | None = None
    segmenter: Segmenter | None = None
    checked: bool = False


@dataclass(frozen=True)
class ModelPair:
    """A generator or classifier, and a segmenter: names, opened on first use, or models that are open.

    Names that are pickled arrive as the same instance in each process, step after step, so that it opens a model once;
    and only if it is the same model there.

    Attributes:
        generator_given, segmenter_given: a name, as in `open_generator` and `open_segmenter`, or the model itself.
        device: where models that are opened by name compute.
        known: fingerprints of both where they were opened before they travelled; None for any.
        opened: the models that stand behind the names; those that are open already are taken as they are.
    """

    generator_given: str | Subject
    segmenter_given: str | Segmenter
    device: str
    known: tuple[str | None, str | None] = field(default=(None, None), compare=False, repr=False)
    opened: Opened = field(default_factory=Opened, compare=False, repr=False)

    @property
    def subject(self) -> Subject:
        """What is dissected."""
        given = self.generator_given
        if not isinstance(given, str):
            return given
        if self.opened.subject is None:
            subject = open_subject(given, self.device)
            check_same(given, subject.fingerprint, self.known[0])
            self.opened.subject = subject
        return self.opened.subject

    @property
    def generator(self) -> Generator:
        """The subject, if it draws."""
        if not isinstance(self.subject, Generator):
            raise BadModel(f"{name_of(self.generator_given)} looks at images and draws none; this takes a generator")
        return self.subject

    @property
    def segmenter(self) -> Segmenter:
        """The segmenter."""
        given = self.segmenter_given
        if not isinstance(given, str):
            return given
        if self.opened.segmenter is None:
            segmenter = open_segmenter(given, self.device)
            check_same(given, segmenter.fingerprint, self.known[1])
            self.opened.segmenter = segmenter
        return self.opened.segmenter

    def with_segmenter(self, segmenter: str) -> "ModelPair":
        """Return the same subject, which stays open, with another segmenter."""
        return ModelPair(self.generator_given, segmenter, self.device, opened=Opened(self.opened.subject))

    def labels(self, seen: Observation) -> Labels:
        """Return the labels of what was seen: those that came with the images, if the segmenter stands for them.

        Raises:
            BadModel: the segmenter returned something else; whether numbers are concepts is checked the first time.
        """
        segmenter, name = self.segmenter, name_of(self.segmenter_given)
        if isinstance(segmenter, DatasetLabels):
            return segmenter.of(seen.shown)
        labels = segmenter(seen.images)
        check_labels(labels, seen.images, segmenter, name)
        if not self.opened.checked:
            check_range(labels, segmenter.vocabulary, name)
            self.opened.checked = True
        return labels

    def __reduce__(self) -> tuple[Any, ...]:
        given = self.generator_given, self.segmenter_given, self.device
        if not all(isinstance(each, str) for each in given):
            return ModelPair, given
        opened = self.opened.subject, self.opened.segmenter
        known = (model.fingerprint if model else own for model, own in zip(opened, self.known, strict=True))
        return _arrived, (*given, tuple(known))


@lru_cache(maxsize=1)
def _arrived(generator: str, segmenter: str, device: str, known: tuple[str | None, str | None]) -> ModelPair:
    """Return the models of these names in this process, which has room for one such pair."""
    return ModelPair(generator, segmenter, device, known)


def check_same(name: str, here: str, there: str | None) -> None:
    """Refuse a model that has the name of another one on the machine that the work comes from."""
    if there not in (None, here):
        raise BadFile(f"{name}: on {socket.gethostname()} it is another model than where the work comes from")


def name_of(model: str | Subject | Segmenter) -> str:
    """Return the name by which a Spec knows a model: its own, or for an open one ``given:`` and its fingerprint."""
    return model if isinstance(model, str) else f"given:{model.fingerprint[:16]}"
