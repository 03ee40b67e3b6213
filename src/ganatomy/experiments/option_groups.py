"""Groups of options, as a help lists them; a field of a Spec is of the first unless its type is marked."""

from typing import Annotated, TypeVar

MEASURED, SAMPLE, RUN = "what is measured", "the sample", "the run"
T = TypeVar("T")

Sample = Annotated[T, SAMPLE]
"""The type of an option that says which images are drawn."""
Run = Annotated[T, RUN]
"""The type of an option that changes no number."""
