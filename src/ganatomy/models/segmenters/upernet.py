"""UPerNet (Xiao et al. 2018): the decoder of the unified parser, with one head a kind of label."""

from collections.abc import Collection, Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganatomy.models.segmenters.checkpoint_loading import conv_norm, load_folded, output_channels
from ganatomy.models.segmenters.pooling_ops import convolve_joined, precise_bins
from ganatomy.models.weights import State

BINS = (1, 2, 3, 6)
"""Into how many bins a side the pyramid pooling module divides the map."""
HEADS = ("object", "part", "material")


class UPerNet(nn.Module):
    """A pyramid pooling module on the coarsest features, a feature pyramid down to the finest, and linear heads.

    `widths` are the channels of the encoder's stages, `pooled` those of a pooled map, `wide` those of the pyramid. The
    material head reads the finest level of the pyramid; object and part heads read all levels, fused.
    """

    def __init__(self, widths: Sequence[int], pooled: int, wide: int, heads: Mapping[str, int]) -> None:
        super().__init__()
        *finer, coarsest = widths
        self.ppm_conv = nn.ModuleList(conv_norm(coarsest, pooled, 1) for _ in BINS)
        self.ppm_last_conv = conv_norm(coarsest + len(BINS) * pooled, wide, 3)
        self.fpn_in = nn.ModuleList(conv_norm(width, wide, 1) for width in finer)
        self.fpn_out = nn.ModuleList(nn.Sequential(conv_norm(wide, wide, 3)) for _ in finer)
        self.conv_fusion = conv_norm(len(widths) * wide, wide, 3)
        for head, channels in heads.items():
            self.add_module(f"{head}_head", nn.Sequential(conv_norm(wide, wide, 3), nn.Conv2d(wide, channels, 1)))
        self.heads = dict(heads)

    def forward(self, stages: Sequence[Tensor], heads: Collection[str]) -> dict[str, Float[Tensor, "b c h w"]]:
        """Return the logits of some heads on the finest grid; nothing is computed that they do not need."""
        fuse = set(heads) != {"material"}
        *finer, coarsest = stages
        pyramid = [self._pooled(coarsest)]
        top_down = pyramid[0]
        for i in reversed(range(len(finer))):
            side = self.fpn_in[i](finer[i])
            top_down = side + F.interpolate(top_down, side.shape[2:], mode="bilinear")
            if i == 0 or fuse:
                pyramid.insert(0, self.fpn_out[i](top_down))
        features = {"material": pyramid[0]}
        if fuse:
            conv, norm, relu = self.conv_fusion
            assert isinstance(conv, nn.Conv2d)
            fused = relu(norm(convolve_joined(conv, pyramid[0], pyramid[1:])))
            features |= {"object": fused, "part": fused}
        return {head: self.get_submodule(f"{head}_head")(features[head]) for head in heads}

    def keep(self, head: str, channels: Sequence[int]) -> None:
        """Leave a head some of its channels, in that order."""
        last = self.get_submodule(f"{head}_head.1")
        for name, own in list(last.named_parameters()):
            setattr(last, name, nn.Parameter(own[list(channels)], requires_grad=False))
        self.heads[head] = len(channels)

    def _pooled(self, x: Tensor) -> Tensor:
        """Join the map and its means over coarse bins; upsampling commutes with all but the ReLU of what is pooled."""
        size = x.shape[2:]
        parts = [x]
        for bins, block in zip(BINS, self.ppm_conv, strict=True):
            conv, norm, relu = block.children()
            means = precise_bins(size[0], bins, x) @ x @ precise_bins(size[1], bins, x).T
            parts.append(relu(F.interpolate(norm(conv(means)), size, mode="bilinear")))
        joined: Tensor = self.ppm_last_conv(torch.cat(parts, 1))
        return joined


def load_upernet(state: State, source: str, widths: Sequence[int]) -> UPerNet:
    """Build the decoder of a state dict, for an encoder of those widths, and load it; a scene head is left out."""
    state = {name: tensor for name, tensor in state.items() if not name.startswith("scene_head.")}
    expected = "the decoder of a unified parser (ppm_conv, fpn_in, …, object_head, part_head, material_head)"
    names = ["ppm_conv.0.0.weight", "ppm_last_conv.0.weight", *(f"{head}_head.1.weight" for head in HEADS)]
    pooled, wide, *channels = output_channels(state, names, source, expected)
    heads = dict(zip(HEADS, channels, strict=True))
    return load_folded(lambda: UPerNet(widths, pooled, wide, heads), state, source)
