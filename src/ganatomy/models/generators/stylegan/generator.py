"""A StyleGAN opened at its layers, and the family under which official files are opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganatomy.core.devices import find_dtype
from ganatomy.core.errors import BadFile, BadValue, UnknownName
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.registry import convert
from ganatomy.core.tensor_types import Images, Latents
from ganatomy.models.generators.latents import standard_normal
from ganatomy.models.generators.protocol import LayerShape, StepwiseGenerator, Visit
from ganatomy.models.generators.registry import GENERATORS
from ganatomy.models.generators.stylegan.layers import Mapping as MappingNetwork
from ganatomy.models.generators.stylegan.layers import ModulatedConv
from ganatomy.models.generators.stylegan.part import Part
from ganatomy.models.generators.stylegan.synthesis2 import Layer, Skip, Synthesis2
from ganatomy.models.generators.stylegan.synthesis3 import Synthesis3
from ganatomy.models.weights import StubObject, read_objects, what_opens

OPTIONS = ("network", "truncation", "truncation_cutoff", "class", "noise", "styles", "margins", "dtype")


@dataclass(frozen=True)
class Settings:
    """How images are drawn.

    Attributes:
        truncation: the share of its distance from the mean that w keeps; 0 draws the mean image.
        cutoff: number of the w that are truncated; None for all.
        label: the class of all images; None for one each, drawn from (seed, id).
        noise: add the constant noise of the file.
        styles: offer the styles as layers.
        margins: features have the places beyond the image, too.
        dtype: in which the synthesis computes.
    """

    truncation: float = 1.0
    cutoff: int | None = None
    label: int | None = None
    noise: bool = True
    styles: bool = False
    margins: bool = True
    dtype: torch.dtype = torch.float32


class StyleGAN(StepwiseGenerator):
    """A StyleGAN2 or 3 opened at its synthesis layers; a unit is a channel after the activation.

    Latents are z, followed by the class, one-hot, where the model has classes. `margins` are as in `margin`.

    Raises:
        BadValue: a setting that this model cannot have.
    """

    def __init__(
        self, mapping: MappingNetwork, synthesis: Synthesis2 | Synthesis3, settings: Settings, device: torch.device
    ) -> None:
        _check(mapping, synthesis, settings)
        self._settings = settings
        self._network = nn.ModuleDict({"mapping": mapping, "synthesis": synthesis})
        facts: list[object] = [settings.truncation, settings.cutoff, settings.label, settings.noise]
        if settings.dtype != torch.float32:
            facts.append(str(settings.dtype))
        self.fingerprint = fingerprint(self._network.state_dict(), "stylegan", *facts)
        self._mapping, self._synthesis = mapping, synthesis
        for module in self._network.modules():
            if isinstance(module, ModulatedConv | Skip):
                module.weight.data = module.weight.data.to(settings.dtype)
            if isinstance(module, Layer) and not settings.noise:
                module.noise = None
        self.device = device
        self._network.eval().to(device)
        layers = _layers(synthesis, styles=settings.styles)
        margins = {name: synthesis.margins.get(name, 0) for name in layers}
        self._hidden = dict.fromkeys(layers, 0) if settings.margins else margins
        self.margins: Mapping[str, int] = margins if settings.margins else dict.fromkeys(layers, 0)
        self.layers: Mapping[str, LayerShape] = {
            name: LayerShape(units, height - 2 * self._hidden[name], width - 2 * self._hidden[name])
            for name, (units, height, width) in layers.items()
        }

    def latents(self, ids: range, seed: int) -> Float[Tensor, "b latent"]:
        """Return N(0, 1) latents, followed by the one-hot class."""
        size, classes = self._mapping.size, self._mapping.classes
        z = standard_normal(ids, seed, [size + classes], self.device)
        if not classes:
            return z
        label = self._settings.label
        chosen = z[:, size:].argmax(1) if label is None else torch.full([len(z)], label, device=self.device)
        return torch.cat([z[:, :size], F.one_hot(chosen, classes).to(z.dtype)], 1)

    def w(self, z: Latents) -> Float[Tensor, "b n d"]:
        """Return w of latents, one for each layer and the last colours, truncated."""
        w: Tensor = self._mapping(z)[:, None]
        count, cutoff = self._synthesis.count, self._settings.cutoff
        near = torch.arange(count, device=w.device) < (count if cutoff is None else cutoff)
        mean = w if self._mapping.mean is None else self._mapping.mean
        return torch.where(near[:, None], mean.lerp(w, self._settings.truncation), w)

    def draw(self, z: Latents, visit: Visit, start: str | None = None) -> Images:
        """Return the images; styles and, in StyleGAN2, the image of lower resolutions are always made of z."""

        def visit_shown(name: str, x: Tensor) -> Tensor:
            if name not in self.layers:
                return x
            hidden = self._hidden[name]
            if not hidden:
                return visit(name, x.float())
            whole = x.float().clone()
            _inside(whole, hidden).copy_(visit(name, _inside(x.float(), hidden)))
            return whole

        start = start if start in self._synthesis.layers and not self._hidden[start] else None
        images: Tensor = self._synthesis(self.w(z), visit_shown, start)
        return images.expand(-1, 3, -1, -1)


def _inside(x: Tensor, margin: int) -> Tensor:
    return x[..., margin : x.shape[-2] - margin, margin : x.shape[-1] - margin]


def _layers(synthesis: Synthesis2 | Synthesis3, *, styles: bool) -> dict[str, LayerShape]:
    """Return the layers, in forward order, each after its style if these are offered too."""
    if not styles:
        return synthesis.layers
    shapes = {}
    for name, channels in synthesis.styles.items():
        shapes[name] = LayerShape(channels, 1, 1)
        layer = name.removeprefix("style.")
        if layer in synthesis.layers:
            shapes[layer] = synthesis.layers[layer]
    return shapes


def _check(mapping: MappingNetwork, synthesis: Synthesis2 | Synthesis3, settings: Settings) -> None:
    if not -10 <= settings.truncation <= 10:
        raise BadValue(f"truncation={settings.truncation:g} is not between -10 and 10; 0.7 is usual, 1 is none")
    if settings.truncation != 1 and mapping.mean is None:
        raise BadValue("truncation cannot be had: the file has no mean w (mapping.w_avg)")
    if settings.cutoff is not None and not 0 <= settings.cutoff <= synthesis.count:
        raise BadValue(f"truncation_cutoff={settings.cutoff}: the model takes {synthesis.count} w; give 0 to that")
    if settings.label is not None and not 0 <= settings.label < mapping.classes:
        given = f"class={settings.label}"
        there = f"the classes are 0 to {mapping.classes - 1}" if mapping.classes else "the model has no classes"
        raise BadValue(f"{given}: {there}")


@GENERATORS.register(
    "stylegan",
    data=True,
    fixed="noise of one strength goes into every unit, and the next layer demodulates over all of them",
)
def stylegan(
    argument: str,
    *,
    device: torch.device,
    network: str = "G_ema",
    truncation: float = 1.0,
    truncation_cutoff: int | None = None,
    noise: str = "const",
    styles: bool = False,
    margins: bool = True,
    dtype: str = "float32",
    **others: str,
) -> StyleGAN:
    """Open an official StyleGAN2, StyleGAN2-ADA (PyTorch) or StyleGAN3 ``.pkl``; the source in it never runs.

    Args:
        argument: the file.
        network: which of the networks in the file.
        truncation: the share of its distance from the mean that w keeps; below 1, images are better and more alike.
        truncation_cutoff: number of the w, from the first layer on, that are truncated; else all.
        noise: ``const`` for the noise maps of the file, ``none`` for none (StyleGAN2).
        styles: offer the channels of each style as layers too, ``style.b8.conv0``.
        margins: features have the places beyond the image; else edits do not reach them (StyleGAN3).
        dtype: in which the synthesis computes; the mapping computes in float32.
        others: ``class=3``, the class of all images; else one each, drawn from (seed, id).

    Raises:
        BadFile: no such file, cut off, of another kind, calling code, or with tensors that do not fit.
        BadValue: an option outside its range.
        UnknownName: no such network, option or dtype.
    """
    if unknown := [key for key in others if key != "class"]:
        raise UnknownName("option of stylegan", unknown[0], OPTIONS)
    if noise not in ("const", "none"):
        raise UnknownName("noise", noise, ("const", "none"))
    label = convert("class", others["class"], int) if "class" in others else None
    settings = Settings(truncation, truncation_cutoff, label, noise == "const", styles, margins, find_dtype(dtype))
    root = Part(_choose(read_objects(Path(argument)), network, argument), network, argument)
    mapping, kept = MappingNetwork(root.part("mapping")), root.part("synthesis")
    synthesis = (Synthesis3 if kept.has("input") else Synthesis2)(kept, mapping.w)
    if extra := list(root.unread()):
        more = f" and {len(extra) - 1} more" if len(extra) > 1 else ""
        raise BadFile(f"{argument}: has what no official StyleGAN has, {extra[0]}{more}")
    return StyleGAN(mapping, synthesis, settings, device)


def _choose(content: Any, network: str, source: str) -> StubObject:
    named = {"G_ema": content} if isinstance(content, StubObject) else content
    drawing = {
        str(name): each
        for name, each in (named.items() if isinstance(named, dict) else ())
        if isinstance(each, StubObject) and each.kind == "Generator" and str(name).isprintable()
    }
    if not drawing:
        named = named if isinstance(named, dict) else {}
        there = ", ".join(str(name) for name, each in named.items() if isinstance(each, StubObject))
        raise BadFile(
            f"{source}: holds no StyleGAN generator (G_ema)"
            + (f"; its networks: {there}" if there else f"; {what_opens(Path(source), 'torch')}")
        )
    if network not in drawing:
        raise UnknownName(f"generator in {source}", network, drawing)
    return drawing[network]
