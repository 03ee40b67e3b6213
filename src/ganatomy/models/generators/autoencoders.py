"""The latents of a sparse autoencoder as directions of a layer, from the weights that several libraries write."""

import math
from pathlib import Path

import torch
from torch import Tensor

from ganatomy.core.errors import BadFile, BadValue
from ganatomy.core.layer_steps import UPDATE, each_step, spanned, split_layer, update_of
from ganatomy.models.generators.directions import Directions, fitting
from ganatomy.models.generators.sae_settings import OPENS, Settings, find_autoencoder
from ganatomy.models.weights import State, read_state

READS = {"W_enc": True, "encoder.weight": False, "encoder.final_block.0.weight": False}
"""Names of an encoder, and whether it is [units, features]."""
WRITES = {"W_dec": True, "decoder.weight": False, "dictionary._weights": True, "dictionary.dictionary": True}
"""Names of a decoder, and whether it is [features, units]."""
BIASES = ("b_enc", "encoder.bias", "latent_bias", "encoder.final_block.0.bias")
MEANS = ("b_dec", "pre_bias", "bias")
"""Names of what is taken from the features before they are read, and added in the end."""
ADDED = "decoder.bias"
"""The name of what is only added in the end."""
GATES = ("b_gate", "b_mag", "r_mag")
THRESHOLDS = ("threshold", "log_threshold", "thresholds")
"""Those of SAELens, of its trainings, and of overcomplete, which are logarithms too."""
NORM = "encoder.final_block.1."
"""The BatchNorm of overcomplete."""
OF_NORM = tuple(NORM + name for name in ("weight", "bias", "running_mean", "running_var"))
IDLE = ("stats_last_nonzero", "num_batches_tracked", NORM + "num_batches_tracked", "scaling_factor", "k")
KNOWN = (*READS, *WRITES, *BIASES, *MEANS, ADDED, *GATES, *THRESHOLDS, *OF_NORM, *IDLE)
NEAR = 0.05
"""How far from 1 lengths of a normalised dictionary may be after the last step of its training."""


def read_autoencoder(path: str, layer: str, units: int, activation: str = "") -> Directions:
    """Read an autoencoder, from its file or directory, for a layer of so many units.

    Args:
        path: see `find_autoencoder`.
        layer: the layer's name.
        units: of the layer.
        activation: instead of what the description says: ``relu``, ``topk:n``, ``jumprelu``, ``jumprelu:threshold``.

    Raises:
        BadFile: unreadable, of no known kind, with NaN or Inf, or of another number of units.
        BadValue: it is of another layer, or the file does not say which activation it has.
        UnknownName: no such activation.
    """
    file, settings = find_autoencoder(Path(path))
    _check_layer(settings, layer, path)
    if settings.units and settings.units != units:
        raise BadFile(f"{path}: is an autoencoder of {settings.units} units; {layer} has {units}")
    state, where = read_state(file), str(file)
    if not any(name in state for name in READS):
        raise BadFile(f"{where}: holds no encoder ({', '.join(READS)}); {OPENS}")
    for name in state:
        if name not in KNOWN:
            raise BadFile(f"{where}: has tensor {name}, which none of the autoencoders known here has; {OPENS}")
    return _Weights(state, units, settings, where).directions(activation)


def _check_layer(settings: Settings, layer: str, path: str) -> None:
    """Refuse a layer that the autoencoder was not trained on, as far as its description says."""
    block, trained = (split_layer(next(each_step(name))).block for name in (layer, settings.layer))
    update = settings.update or trained.endswith(UPDATE)
    if update and not block.endswith(UPDATE):
        [given] = spanned([update_of(each) for each in each_step(layer)])
        raise BadValue(f"{path}: was trained on what a block adds to its input, not on its output; give layer={given}")
    if trained and trained != block:
        raise BadValue(f"{path}: was trained on {settings.layer}; {layer} is another layer")


class _Weights:
    """The tensors of an autoencoder, and what they make together."""

    def __init__(self, state: State, units: int, settings: Settings, path: str) -> None:
        self.state, self.units, self.settings, self.path = state, units, settings, path
        name = next(name for name in READS if name in state)
        value = state[name]
        self.k = value.shape[-1 if READS[name] else 0] if value.ndim else 0
        if settings.features and settings.features != self.k:
            raise BadFile(f"{path}: tensor {name} is of {self.k} features; its description says {settings.features}")
        shape = (units, self.k) if READS[name] else (self.k, units)
        self.reads = self._oriented(name, shape, READS[name])

    def directions(self, given: str) -> Directions:
        """Return the directions, with this activation if one is given."""
        reads, writes, bias = self.reads, self._writes(), self._first(BIASES, self.k)
        reads, bias = self._batch_norm(reads, bias)
        thresholds = self._thresholds()
        if any(name in self.state for name in GATES):
            b_gate, b_mag, r_mag = (self._one(name, self.k) for name in GATES)
            reads, bias = r_mag.exp()[:, None] * reads, b_mag
            thresholds = b_mag - r_mag.exp() * b_gate  # where W r + b_gate is 0
        if self.settings.scaled:
            writes = writes * self._one("scaling_factor", self.k)
        if self.settings.by_norm:
            lengths: Tensor = torch.linalg.vector_norm(writes, dim=0)
            reads, bias, writes = lengths[:, None] * reads, lengths * bias, writes / lengths.clamp(min=1e-12)
        activation, thresholds = self._activation(given, thresholds)
        mean = self._first(MEANS, self.units)
        added = self._one(ADDED, self.units) if ADDED in self.state else mean
        center = mean if self.settings.centred else torch.zeros(self.units)
        parts = [reads, writes, center, bias, added, *([] if thresholds is None else [thresholds])]
        if not all(bool(torch.isfinite(each).all()) for each in parts):
            raise BadFile(f"{self.path}: its numbers are too large: they make NaN or Inf")
        return Directions(
            reads.contiguous(),
            writes.contiguous(),
            center,
            bias,
            activation,
            thresholds=thresholds,
            normalisation=self.settings.normalisation,
            added=None if added is center else added,
        )

    def _one(self, name: str, size: int) -> Tensor:
        if name not in self.state:
            raise BadFile(f"{self.path}: tensor {name} is missing")
        return fitting(self.state, name, (size,), self.path)

    def _first(self, names: tuple[str, ...], size: int) -> Tensor:
        found = next((name for name in names if name in self.state), None)
        return torch.zeros(size) if found is None else self._one(found, size)

    def _oriented(self, name: str, shape: tuple[int, int], turned: bool) -> Tensor:
        value = fitting(self.state, name, shape, self.path)
        return value.T if turned else value

    def _writes(self) -> Tensor:
        name = next((name for name in WRITES if name in self.state), None)
        if name is None and self.settings.tied:
            return self.reads.T
        if name is None:
            raise BadFile(
                f"{self.path}: has an encoder and no decoder ({', '.join(WRITES)}), and is not said to be tied"
            )
        shape = (self.k, self.units) if WRITES[name] else (self.units, self.k)
        writes = self._oriented(name, shape, WRITES[name])
        lengths: Tensor = torch.linalg.vector_norm(writes, dim=0)
        if name == "dictionary._weights" and bool(((lengths - 1).abs() < NEAR).all()):
            return writes / lengths  # overcomplete does so before every use
        return writes

    def _batch_norm(self, reads: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Fold the BatchNorm of overcomplete into the encoder."""
        if not any(name in self.state for name in OF_NORM):
            return reads, bias
        weight, shift, mean, variance = (self._one(name, self.k) for name in OF_NORM)
        if bool((variance < 0).any()):
            raise BadFile(f"{self.path}: tensor {OF_NORM[3]} is negative")
        scale = weight / (variance + 1e-5).sqrt()
        return scale[:, None] * reads, scale * (bias - mean) + shift

    def _thresholds(self) -> Tensor | None:
        name = next((name for name in THRESHOLDS if name in self.state), None)
        if name is None:
            return None
        if not self.state[name].ndim:
            value = float(self.state[name].real)
            found = torch.full((self.k,), value) if value > 0 or "k" not in self.state else None
        else:
            found = self._one(name, self.k)
        if found is None or name == "threshold":
            return found
        found = found.exp()
        return (
            found.nextafter(torch.tensor(-math.inf)) if name == "thresholds" else found
        )  # there, what equals it stays

    def _activation(self, given: str, thresholds: Tensor | None) -> tuple[str, Tensor | None]:
        """Return the activation, and the thresholds if it has any."""
        function = given or self.settings.activation or self._unsaid(thresholds)
        kind, _, number = function.partition(":")
        if kind in ("jumprelu", "gated") and number and not given:
            raise BadFile(f"{self.path}: the activation is {function!r}; it takes no number")
        if kind == "jumprelu" and number:
            return "relu", torch.full((self.k,), _threshold(number))
        if kind in ("jumprelu", "gated", "batchtopk") and thresholds is not None:
            return "relu", thresholds
        if kind in ("jumprelu", "gated"):
            needed = ", ".join(GATES) if kind == "gated" else " or ".join(THRESHOLDS)
            raise BadFile(f"{self.path}: is {kind}, but has no tensor {needed}")
        return function.removeprefix("batch"), None

    def _unsaid(self, thresholds: Tensor | None) -> str:
        if thresholds is not None:
            return "jumprelu"
        if "k" in self.state:
            return f"topk:{int(self.state['k'].real.sum())}" if self.state["k"].numel() == 1 else "topk"
        if any(name.startswith("dictionary.") for name in self.state):
            raise BadValue(
                f"{self.path}: files of overcomplete do not say how many coefficients stay; give activation=topk:n, "
                "jumprelu:t with the running threshold t of a BatchTopKSAE, or relu"
            )
        return "relu"


def _threshold(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise BadValue(f"activation=jumprelu:{text}: the threshold must be a number from 0")
    return value
