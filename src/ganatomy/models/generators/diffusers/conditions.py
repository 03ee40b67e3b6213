"""What a denoiser of diffusers is given beside x and the time: the words of a prompt, a class, or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Conditions:
    """The prompts of a sampler, as its network takes them.

    Attributes:
        prompts: by number.
        rows: of each prompt among what is given, [prompts].
        given: tensors [texts or classes, …], by name.
        without: each of these for what guidance leads away from, [1, …]; empty without guidance.
        guidance: how far the prompt is followed: 1 not beyond what the network says.
        facts: what they depend on.
        words: that have maps, see `WordMaps`.
    """

    prompts: Sequence[str]
    rows: Tensor
    given: Mapping[str, Tensor]
    without: Mapping[str, Tensor]
    guidance: float
    facts: tuple[object, ...]
    words: Sequence[str] = ()

    @property
    def halves(self) -> int:
        """Return the rows of a call for each image: 2 under guidance, those without the prompt first."""
        return 2 if self.without else 1

    @property
    def texts(self) -> int:
        """Return the tokens of a prompt; 0 where prompts are no texts."""
        return self.given["words"].shape[1] if "words" in self.given else 0

    def of(self, prompt: Tensor, device: torch.device) -> dict[str, Tensor]:
        """Return what is given for images with these prompts [b], [``halves`` · b, …]."""
        found = {name: tensor[self.rows[prompt.cpu()]] for name, tensor in self.given.items()}
        for name, tensor in self.without.items():
            found[name] = torch.cat([tensor.expand_as(found[name]), found[name]])
        return {name: tensor.to(device) for name, tensor in found.items()}


class Texts(NamedTuple):
    """Texts to encode, each once: of each prompt its row, and the row of the one that guidance leads away from."""

    texts: list[str]
    rows: Tensor
    last: int | None


def texts_of(prompts: Sequence[str], negative: str | None) -> Texts:
    """Return the texts of prompts, and of what guidance leads away from; None where there is no guidance.

    >>> texts_of(["a tree", "a door", "a tree"], "")
    Texts(texts=['a tree', 'a door', ''], rows=tensor([0, 1, 0]), last=2)
    """
    rows = {text: row for row, text in enumerate(dict.fromkeys([*prompts, *([] if negative is None else [negative])]))}
    last = None if negative is None else rows[negative]
    return Texts(list(rows), torch.tensor([rows[prompt] for prompt in prompts]), last)
