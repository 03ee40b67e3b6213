"""UNets of diffusers: with the words of a prompt (Stable Diffusion 1, 2, XL, LCM), with classes, or with neither."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadModel, BadValue
from ganatomy.models.generators.diffusers.conditions import Conditions
from ganatomy.models.generators.diffusers.encoding import CLIP, PROJECTED_CLIP
from ganatomy.models.generators.diffusers.families.family import Family, chosen
from ganatomy.models.generators.diffusers.word_attention import with_words
from ganatomy.models.generators.hooks import TokenGrid
from ganatomy.models.generators.sampling.listing import grid_of

ZEROS = "force_zeros_for_empty_prompt"
"""Setting of SDXL: guidance leads away from zeros where no negative prompt is given."""


class UNet(Family):
    """A UNet; its maps and tokens become smaller on the way down."""

    is_single_file = True

    def token_grid(self, shape: Sequence[int], texts: int) -> TokenGrid | None:  # noqa: ARG002  for families
        """Return the grid of a map or of tokens, which may be smaller than x."""
        return grid_of(shape, (self.size, self.size))


class ClassUNet(UNet):
    """A UNet without words: of a network that was trained with classes, each is a prompt."""

    def conditions(self) -> Conditions:
        """Return the classes that prompts name, or each in turn; or one prompt that says nothing."""
        options, count = self.options, int(self.config.get("num_class_embeds") or 0)
        if options.guidance is not None or options.negative is not None:
            raise BadValue("guidance and negative are for text-to-image pipelines; leave them out")
        if options.prompts and not count:
            raise BadModel("this pipeline takes no prompts: its network draws without; leave out prompts")
        prompts = class_prompts(options.prompts, count) or ("",)
        given = {"classes": torch.arange(count)} if count else {}
        numbers = torch.tensor([int(each or 0) for each in prompts])
        return Conditions(prompts, numbers, given, {}, 1.0, ("classes", count))

    def call(self, network: nn.Module, x: Tensor, time: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """Return what the network predicts; see `Family`."""
        named = {"class_labels": given["classes"]} if given else {}
        predicted: Tensor = network(x, time.to(x.device), **named, return_dict=False)[0]
        return predicted


class WordUNet(UNet):
    """A UNet that is given the words of a prompt; SDXL also the whole prompt and the size of the image."""

    attention = "attn2"

    def check(self, latents: int | None) -> None:
        """Refuse networks that want more than their pipeline gives."""
        index = self.index
        more = {
            "addition_embed_type": "text_time" if len(index.kind.encoders) == 2 else None,
            "encoder_hid_dim_type": None,
            "class_embed_type": None,
        }
        for key, usable in more.items():
            if self.config.get(key) != usable:
                own = f"{key}={self.config.get(key)}"
                raise BadModel(f"{index.name}: the unet of a {index.pipeline} with {own} cannot be used")
        super().check(latents)

    def conditions(self) -> Conditions:
        """Encode the prompts, and the one that guidance leads away from."""
        guidance, encoders = self._guidance(), self.index.kind.encoders
        embedded = int(self.config.get("time_cond_proj_dim") or 0)
        texts = self._texts(guidance > 1 and not embedded)
        readers = (CLIP, PROJECTED_CLIP)
        encoded = [self._encode(part, readers[i], texts.texts) for i, part in enumerate(encoders)]
        whole = len(encoded) > 1
        given = {"words": torch.cat([each.layers for each in encoded], -1) if whole else encoded[0].last}
        if whole and encoded[-1].pooled is not None:
            given["pooled"] = encoded[-1].pooled
            sizes = torch.tensor(
                [self.pixels, self.pixels, 0, 0, self.pixels, self.pixels]
            )  # of the original and the image, and where it was cut
            given["sizes"] = sizes.to(given["words"].dtype).expand(len(texts.texts), -1)
        if embedded:
            waves = _waves(guidance - 1, embedded).to(given["words"])
            given["guidance"] = waves.expand(len(texts.texts), -1)
        zeros = self.options.negative is None and whole and bool(self.index.settings.get(ZEROS, True))
        without = chosen(given, texts.last)
        for name in ("words", "pooled") if without and zeros else ():
            without[name] = torch.zeros_like(without[name])
        facts = (texts.texts, self.pixels if whole else 0, zeros, *(each.facts for each in encoded))
        found = Conditions(self.options.prompts, texts.rows, given, without, guidance, facts)
        if not self.options.words:
            return found
        return with_words(found, [self._words(encoders[0], readers[0], texts.texts, found.texts)])

    def call(self, network: nn.Module, x: Tensor, time: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """Return what the network predicts; see `Family`."""
        self._tokens.now = given.get("tokens")
        named: dict[str, Any] = {"encoder_hidden_states": given["words"]}
        if "pooled" in given:
            named["added_cond_kwargs"] = {"text_embeds": given["pooled"], "time_ids": given["sizes"]}
        if "guidance" in given:
            named["timestep_cond"] = given["guidance"]
        predicted: Tensor = network(x, time.to(x.device), **named, return_dict=False)[0]
        return predicted


def class_prompts(prompts: Sequence[str], count: int) -> tuple[str, ...]:
    """Return prompts that are numbers of classes; each class in turn where none are given.

    Raises:
        BadValue: a prompt is no number of a class.
    """
    wrong = [each for each in prompts if not (each.isdecimal() and int(each) < count)]
    if wrong:
        raise BadValue(f"{wrong[0]!r} is no class: its prompts are numbers from 0 to {count - 1}")
    return tuple(prompts) or tuple(map(str, range(count)))


def _waves(guidance: float, numbers: int) -> Tensor:
    """Return the guidance as sines and cosines of falling frequency, [1, numbers] (as Vaswani et al. 2017 places)."""
    half = numbers // 2
    angles = 1000 * guidance * torch.exp(torch.arange(half) * -(math.log(10_000) / (half - 1)))
    waves = torch.cat([angles.sin(), angles.cos()])
    return torch.nn.functional.pad(waves, (0, numbers % 2))[None]
