"""A model that makes an image from noise in steps: what every family of them gives, and the state between steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ganatomy.core.tensor_types import Images


@dataclass(frozen=True, eq=False)
class State:
    """Where a batch of images stands between two steps; every tensor has one row an image.

    Attributes:
        x: what the next step begins with, in the units of the sampler.
        prompt: number of each image's prompt.
        clean: the estimate of the finished x after the last step done; None before the first.
        history: whatever else the next step needs, such as what a multistep scheduler keeps.
    """

    x: Float[Tensor, "b c h w"]
    prompt: Int64[Tensor, " b"]
    clean: Float[Tensor, "b c h w"] | None = None
    history: tuple[Tensor, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice | Tensor) -> "State":
        """Return some of the images."""
        clean = None if self.clean is None else self.clean[rows]
        return State(self.x[rows], self.prompt[rows], clean, tuple(each[rows] for each in self.history))

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(each.nbytes for each in (self.x, self.prompt, self.clean, *self.history) if each is not None)

    @staticmethod
    def joined(states: Sequence["State"]) -> "State":
        """Return the images of several states, all after the same step, as one."""
        x, prompt = (torch.cat(each) for each in zip(*((s.x, s.prompt) for s in states), strict=True))
        clean = [each.clean for each in states if each.clean is not None]
        history = zip(*(each.history for each in states), strict=True)
        return State(x, prompt, torch.cat(clean) if clean else None, tuple(map(torch.cat, history)))


@runtime_checkable
class Sampler(Protocol):
    """A model that makes an image from noise in steps, given a prompt.

    One whose images can be inverted has a method ``encode`` too: from images to x after the last step. One that says
    how noise and image are mixed has ``noised``: from images, noise and prompts to the state before a step. One whose
    network has tokens of other kinds than places of an image has a method ``grid_of``, see `Survey`.

    Images of a batch are computed independently of each other, and nothing in it is random: all chance is the noise.

    Attributes:
        network: the denoiser; its submodules are the layers, each once a step.
        steps: calls of the network; the first step is 1.
        shape: channels, height and width of the noise of one image.
        prompts: image i has prompt ``i % len(prompts)``.
        halves: rows of one call of the network for each image: 1, or 2 under guidance, those without the prompt first.
        facts: what images depend on besides the weights of the network and the prompts; joined to the fingerprint.
    """

    network: nn.Module
    steps: int
    shape: tuple[int, int, int]
    prompts: Sequence[str]
    halves: int
    facts: tuple[object, ...]

    def start(self, noise: Float[Tensor, "b c h w"], prompt: Int64[Tensor, " b"]) -> State:
        """Return the state before the first step."""
        ...

    def step(self, state: State, number: int) -> State:
        """Return the state after a step, from 1: one call of the network. Differentiable."""
        ...

    def estimate(self, state: State) -> Images:
        """Return the images of the estimate after the last step done, in [-1, 1]: how the finished ones may look."""
        ...

    def image(self, state: State) -> Images:
        """Return the finished images, in [-1, 1], of the state after the last step."""
        ...
