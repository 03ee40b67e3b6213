"""Generators: one family a file, opened by name."""

from ganatomy.generators.module import as_generator
from ganatomy.generators.protocol import Edit, Generator, LayerShape, Observation
from ganatomy.generators.registry import GENERATORS, open_generator

__all__ = ["GENERATORS", "Edit", "Generator", "LayerShape", "Observation", "as_generator", "open_generator"]
