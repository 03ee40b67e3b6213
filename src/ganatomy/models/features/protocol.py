"""The protocols of feature networks: a vector of numbers for each image, and for each text of some."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from ganatomy.core.errors import BadModel
from ganatomy.core.tensor_types import Images


@runtime_checkable
class FeatureNetwork(Protocol):
    """A network that describes images by vectors.

    Attributes:
        fingerprint: sha256 that changes when the features may.
    """

    fingerprint: str

    def features(self, images: Images) -> Tensor:
        """Return a vector of each image, float32 [b, d]."""
        ...


@runtime_checkable
class WordNetwork(FeatureNetwork, Protocol):
    """A feature network that describes texts, too, by vectors near those of the images that they describe."""

    def words(self, texts: Sequence[str]) -> Tensor:
        """Return a vector of each text, float32 [n, d], as long as those of images."""
        ...


@runtime_checkable
class CaptionNetwork(Protocol):
    """A network that says in words what images show.

    Attributes:
        fingerprint: sha256 that changes when the captions may.
    """

    fingerprint: str

    def captions(self, images: Images) -> list[str]:
        """Return a text of each image."""
        ...


def checked_captions(found: Any, images: Images, name: str) -> list[str]:
    """Return a network's output if it is one text for each image.

    Raises:
        BadModel: it is something else; names the network.
    """
    if not isinstance(found, (list, tuple)) or not all(isinstance(each, str) for each in found):
        raise BadModel(f"{name} describes images by a {type(found).__name__}; it must give a list of texts")
    if len(found) != len(images):
        raise BadModel(f"{name} describes {len(images)} images by {len(found)} texts; it must give one of each")
    return list(found)


def checked_vectors(found: Any, images: Images, name: str) -> Float[Tensor, "b d"]:
    """Return a network's output as float32 if it is one vector for each image.

    Raises:
        BadModel: it is something else, or has NaN or Inf; names the network.

    >>> import torch
    >>> checked_vectors(torch.ones(2, 5, 1, 1, dtype=torch.half), torch.zeros(2, 3, 8, 8), "a network").shape
    torch.Size([2, 5])
    """
    return _checked(found, len(images), "image", name)


def checked_texts(found: Any, texts: Sequence[str], name: str) -> Float[Tensor, "n d"]:
    """Return a network's output as float32 if it is one vector for each text.

    Raises:
        BadModel: it is something else, or has NaN or Inf; names the network.
    """
    return _checked(found, len(texts), "text", name)


def _checked(found: Any, count: int, what: str, name: str) -> Float[Tensor, "n d"]:
    if not isinstance(found, Tensor) or not found.is_floating_point():
        kind = str(found.dtype) if isinstance(found, Tensor) else type(found).__name__
        raise BadModel(f"{name} describes {what}s by a {kind}; it must give a float vector of each")
    vectors = found.flatten(1) if found.ndim > 2 and found.shape[2:].numel() == 1 else found
    if vectors.ndim != 2 or len(vectors) != count or not vectors.shape[1]:
        hint = "; average such maps over their places (torch: does with pool=yes)" if vectors.ndim == 4 else ""
        raise BadModel(
            f"{name} describes {count} {what}s by a tensor of shape {list(found.shape)}; "
            f"it must give a vector of each{hint}"
        )
    if not bool(vectors.isfinite().all()):
        raise BadModel(f"{name} describes {'an' if what == 'image' else 'a'} {what} by NaN or Inf")
    return vectors.float()
