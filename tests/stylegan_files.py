"""Small StyleGAN files, written as the official code writes them: networks that carry source, which must never run."""

import pickle
import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

SOURCE = "raise RuntimeError('embedded source was executed')\n"


class EasyDict(dict):
    """Stands for that of dnnlib.util."""


def _reconstruct_persistent_obj(meta: dict) -> None:
    """Stands for that of torch_utils.persistence."""
    raise AssertionError("a reader called what it should only name")


EasyDict.__module__, EasyDict.__qualname__ = "dnnlib.util", "EasyDict"
_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"


class Kept:
    """A module: the name of its class, tensors (parameters and buffers), parts and other attributes."""

    def __init__(self, kind: str, tensors: dict | None = None, parts: dict | None = None, **facts: object) -> None:
        self.kind, self.tensors, self.parts, self.facts = kind, tensors or {}, parts or {}, facts

    def __reduce__(self) -> tuple:
        buffers = {name: t for name, t in self.tensors.items() if name in BUFFERS}
        parameters = {name: torch.nn.Parameter(t) for name, t in self.tensors.items() if name not in BUFFERS}
        state = {"_parameters": parameters, "_buffers": buffers, "_modules": self.parts, **self.facts}
        state["_non_persistent_buffers_set"] = set()
        meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": self.kind, "state": state}
        return _reconstruct_persistent_obj, (EasyDict(meta),)


BUFFERS = {"resample_filter", "noise_const", "w_avg", "up_filter", "down_filter", "magnitude_ema"}
BUFFERS |= {"freqs", "phases", "transform"}


def write(path: Path, protocol: int = 4, *, by_torch: bool = False, **networks: object) -> Path:
    """Write networks by name into a file, as the official code does or with torch.save."""
    modules = {name: ModuleType(name) for name in ("dnnlib", "dnnlib.util", "torch_utils", "torch_utils.persistence")}
    modules["dnnlib.util"].EasyDict = EasyDict
    modules["torch_utils.persistence"]._reconstruct_persistent_obj = _reconstruct_persistent_obj
    with patch.dict(sys.modules, modules):
        if by_torch:
            torch.save(networks, path, pickle_protocol=protocol)
        else:
            path.write_bytes(pickle.dumps(networks, protocol))
    return path


class Maker:
    """Makes modules of random tensors."""

    def __init__(self, seed: int, w: int) -> None:
        self.source, self.w = torch.Generator().manual_seed(seed), w

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.source)

    def dense(self, units: int, inputs: int, activation: str = "linear", rate: float = 1.0, bias: float = 0.0) -> Kept:
        tensors = {"weight": self.normal(units, inputs) / rate, "bias": bias + 0.1 * self.normal(units)}
        gain = np.float64(rate / np.sqrt(inputs))
        return Kept("FullyConnectedLayer", tensors, activation=activation, weight_gain=gain, bias_gain=rate)

    def mapping(self, z: int, classes: int = 0) -> Kept:
        parts = {"embed": self.dense(self.w, classes)} if classes else {}
        for i in range(2):
            inputs = z + len(parts) * self.w if i == 0 else self.w
            parts[f"fc{i}"] = self.dense(self.w, inputs, "lrelu", rate=0.01)
        return Kept("MappingNetwork", {"w_avg": 0.1 * self.normal(self.w)}, parts)

    def conv(self, kind: str, units: int, inputs: int, kernel: int, tensors: dict, **facts: object) -> Kept:
        tensors = {"weight": self.normal(units, inputs, kernel, kernel), "bias": 0.1 * self.normal(units), **tensors}
        return Kept(kind, tensors, {"affine": self.dense(inputs, self.w, bias=1.0)}, **facts)


TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8


def stylegan2(
    seed: int, side: int = 16, architecture: str = "skip", classes: int = 0, clamp: float = 256, colours: int = 3
) -> Kept:
    """Return a StyleGAN2 of few units: z 6, w 8, units 8, then fewer."""
    make, taps = Maker(seed, 8), TAPS[:, None] * TAPS
    blocks, inputs = {}, 0
    for level in range(side.bit_length() - 2):
        own, units = 4 << level, 8 - level
        tensors, parts, before = {"resample_filter": taps}, {}, inputs
        if not inputs:
            tensors["const"], before = make.normal(units, own, own), units
        for name in ("conv0", "conv1") if inputs else ("conv1",):
            more = {"resample_filter": taps, "noise_const": make.normal(own, own), "noise_strength": torch.tensor(0.1)}
            facts = {"up": 2 if name == "conv0" else 1, "use_noise": True, "activation": "lrelu", "conv_clamp": clamp}
            facts["act_gain"] = np.float64(np.sqrt(2))
            parts[name], before = make.conv("SynthesisLayer", units, before, 3, more, **facts), units
        if architecture == "skip" or own == side:
            gain = np.float64(1 / np.sqrt(units))
            parts["torgb"] = make.conv("ToRGBLayer", colours, units, 1, {}, conv_clamp=clamp, weight_gain=gain)
        if architecture == "resnet" and inputs:
            skip = {"weight": make.normal(units, inputs, 1, 1), "resample_filter": taps}
            parts["skip"] = Kept("Conv2dLayer", skip, weight_gain=np.float64(1 / np.sqrt(inputs)), conv_clamp=clamp)
        blocks[f"b{own}"] = Kept("SynthesisBlock", tensors, parts, architecture=architecture, use_fp16=np.bool_(True))
        inputs = units
    return Kept(
        "Generator", {}, {"synthesis": Kept("SynthesisNetwork", {}, blocks), "mapping": make.mapping(6, classes)}
    )


def stylegan3(seed: int, *, radial: bool = False, classes: int = 0) -> Kept:
    """Return a StyleGAN3 of few units, 16 pixels a side, with 2 places of margin; T, or R with its radial filters."""
    make, kernel = Maker(seed, 8), 1 if radial else 3
    waves = {
        "weight": make.normal(8, 8),
        "freqs": make.normal(8, 2),
        "phases": make.normal(8),
        "transform": torch.eye(3),
    }
    parts = {"affine": make.dense(4, 8, bias=1.0)}
    parts["affine"].tensors["weight"] *= 0.2  # far from no direction at all
    facts = {"size": np.array([12, 12]), "sampling_rate": np.float64(8), "bandwidth": np.float64(2)}
    layers, side, inputs = {"input": Kept("SynthesisInput", waves, parts, **facts)}, 12, 8
    for i, (own, rate, up) in enumerate([(12, 8, 2), (20, 16, 4), (16, 16, 2)]):
        spread = (own - 1) * 2 + 6 + 3 * up - 1 - (side + kernel - 1) * up
        pad = [(spread + up) // 2, spread - (spread + up) // 2]
        finer, back = torch.hann_window(3 * up + 2)[1:-1], torch.hann_window(8)[1:-1]
        back = back / back.sum()
        tensors = {"magnitude_ema": torch.tensor(1.3), "up_filter": finer / finer.sum(), "down_filter": back}
        if radial and rate < 16:
            tensors["down_filter"] = back[:, None] * back
        facts = {
            "up_factor": up,
            "down_factor": 2,
            "padding": [*pad, *pad],
            "conv_clamp": 256,
            "out_sampling_rate": rate,
        }
        layers[f"L{i}_{own}_8"] = make.conv("SynthesisLayer", 8, inputs, kernel, tensors, **facts)
        side = own
    facts = {"up_factor": 1, "down_factor": 1, "padding": [0, 0, 0, 0], "conv_clamp": 256, "out_sampling_rate": 16}
    layers["L3_16_3"] = make.conv("SynthesisLayer", 3, 8, 1, {"magnitude_ema": torch.tensor(0.8)}, **facts)
    synthesis = Kept("SynthesisNetwork", {}, layers, output_scale=0.25)
    return Kept("Generator", {}, {"synthesis": synthesis, "mapping": make.mapping(6, classes)})
