"""What a denoiser of diffusers is given beside x and the time: the words of a prompt, a class, or nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from ganatomy.core.errors import BadModel, BadValue


@runtime_checkable
class Conditions(Protocol):
    """The prompts of a sampler, as its network takes them.

    Attributes:
        prompts: by number.
        halves: rows of a call for each image; 2 under guidance, those without the prompt first.
        guidance: how far the prompt is followed: 1 not beyond what the network says.
        facts: what they depend on.
    """

    @property
    def prompts(self) -> Sequence[str]:
        """See above."""
        ...

    @property
    def halves(self) -> int:
        """See above."""
        ...

    @property
    def guidance(self) -> float:
        """See above."""
        ...

    @property
    def facts(self) -> tuple[object, ...]:
        """See above."""
        ...

    def arguments(self, prompt: Tensor, device: torch.device) -> dict[str, Any]:
        """Return the keywords of a call for images with these prompts [b], of ``halves`` · b rows."""
        ...


@dataclass(frozen=True, eq=False)
class EncodedPrompts:
    """Encoded prompts.

    Attributes:
        prompts: as texts.
        rows: of each prompt among the encoded texts, [prompts].
        words: of texts, [texts, tokens, d].
        pooled: of whole texts, [texts, p], for networks that take them beside the words (SDXL).
        without: `words` and `pooled` of the prompt that guidance leads away from, [1, …]; none without guidance.
        guidance: see `Conditions`.
        embedded: numbers that a network has for the guidance, where it takes that as an input; else 0.
        size: of the images in pixels, an input of SDXL.
        facts: the encoders and tokens.
    """

    prompts: Sequence[str]
    rows: Tensor
    words: Tensor
    pooled: Tensor | None
    without: tuple[Tensor, Tensor | None] | None
    guidance: float
    embedded: int
    size: int
    facts: tuple[object, ...]

    @property
    def halves(self) -> int:
        """Return the rows of a call for each image."""
        return 1 if self.without is None else 2

    def arguments(self, prompt: Tensor, device: torch.device) -> dict[str, Any]:
        """Return the keywords of a call; see `Conditions`."""
        rows = self.rows[prompt.cpu()]
        words, pooled = self.words[rows], None if self.pooled is None else self.pooled[rows]
        if self.without is not None:
            words = torch.cat([self.without[0].expand_as(words), words])
            if pooled is not None and self.without[1] is not None:
                pooled = torch.cat([self.without[1].expand_as(pooled), pooled])
        words = words.to(device)
        found: dict[str, Any] = {"encoder_hidden_states": words}
        if pooled is not None:  # the size of the original and of the image, and where it was cropped
            sizes = torch.tensor([[self.size, self.size, 0, 0, self.size, self.size]], dtype=words.dtype, device=device)
            sizes = sizes.expand(len(words), -1)
            found["added_cond_kwargs"] = {"text_embeds": pooled.to(device), "time_ids": sizes}
        if self.embedded:
            found["timestep_cond"] = _waves(self.guidance - 1, self.embedded).to(words).expand(len(words), -1)
        return found


class Classes:
    """Classes of a network that was trained with them, or one prompt that says nothing.

    Args:
        count: of classes; 0 for a network without.
        prompts: numbers of classes, as texts; else each class in turn.

    Raises:
        BadValue: a prompt is no number of a class.
        BadModel: prompts are given for a network without classes.
    """

    halves, guidance = 1, 1.0

    def __init__(self, count: int, prompts: Sequence[str]) -> None:
        if prompts and not count:
            raise BadModel("this pipeline takes no prompts: its network draws without; leave out prompts")
        wrong = [each for each in prompts if not (each.isdecimal() and int(each) < count)]
        if wrong:
            raise BadValue(f"{wrong[0]!r} is no class: its prompts are numbers from 0 to {count - 1}")
        self.prompts = tuple(prompts) or tuple(map(str, range(count))) or ("",)
        self.facts: tuple[object, ...] = ("classes", count)
        self._classes = torch.tensor([int(each) for each in self.prompts]) if count else None

    def arguments(self, prompt: Tensor, device: torch.device) -> dict[str, Any]:
        """Return the keywords of a call; see `Conditions`."""
        return {} if self._classes is None else {"class_labels": self._classes[prompt.cpu()].to(device)}


def _waves(guidance: float, numbers: int) -> Tensor:
    """Return the guidance as sines and cosines of falling frequency, [1, numbers] (as Vaswani et al. 2017 places)."""
    half = numbers // 2
    angles = 1000 * guidance * torch.exp(torch.arange(half) * -(math.log(10_000) / (half - 1)))
    waves = torch.cat([angles.sin(), angles.cos()])
    return torch.nn.functional.pad(waves, (0, numbers % 2))[None]
