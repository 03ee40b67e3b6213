"""Generators: one family a file, opened by name."""

from ganatomy.models.generators.module import as_generator
from ganatomy.models.generators.protocol import Edit, Generator, LayerShape, Observation, Subject
from ganatomy.models.generators.registry import GENERATORS, open_generator, open_subject

__all__ = [
    "GENERATORS",
    "Edit",
    "Generator",
    "LayerShape",
    "Observation",
    "Subject",
    "as_generator",
    "open_generator",
    "open_subject",
]
