"""Modules that others wrote, opened by name or handed over: ``torch:package.module:callable?key=value``."""

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from ganatomy.devices import find_dtype
from ganatomy.errors import BadModel, BadValue
from ganatomy.generators.hooked import HookedGenerator, LatentSource, device_of, dtype_of, run
from ganatomy.generators.latents import standard_normal
from ganatomy.generators.registry import GENERATORS
from ganatomy.imported import call_named, guarded
from ganatomy.weights import fingerprint, load_weights

N = TypeVar("N", int, float)

SIZES = ("latent_dim", "latent_size", "latent_shape", "z_dim", "z_size", "dim_z", "nz", "noise_dim")
"""Attributes in which modules are known to keep the size of their latents."""

SMALLEST = 16
"""Sides that a picture must have before a guessed latent counts as found."""


@GENERATORS.register("torch")
def open_module(
    argument: str,
    /,
    *,
    device: torch.device,
    weights: str | None = None,
    prefix: str = "",
    latent: str | None = None,
    bounds: str | None = None,
    layers: str | None = None,
    dtype: str | None = None,
    **options: str,
) -> HookedGenerator:
    """Open the `torch.nn.Module` that ``package.module:callable`` names or returns; other options go to the callable.

    Args:
        argument: what to import and call; the current directory is importable.
        device: where it shall compute.
        weights: a file with its state dict.
        prefix: what the names of its tensors begin with in that file, ``decoder.``, where others are there too.
        latent: the shape of one latent, ``128`` or ``100x1x1``; else it is looked for.
        bounds: the values that mean black and white, ``0..1``; else they are looked for.
        layers: the layers to offer, ``a,b``; else all.
        dtype: the number format in which it shall compute; else that of its weights.
        options: for the callable.

    Raises:
        UnknownName: no such module, callable, option, layer or number format.
        BadFile: the weights do not fit, or hold NaN or Inf.
        BadModel: it is no generator.
        BadValue: an option cannot be read.
    """
    module = call_named(argument, options)
    if not isinstance(module, nn.Module):
        raise BadModel(f"{argument} gives a {type(module).__name__}; it must give a torch.nn.Module")
    if weights is not None:
        load_weights(module, Path(weights), prefix)
    return as_generator(
        module.to(device),
        latent=None if latent is None else numbers_in("latent", latent, "x", int),
        bounds=None if bounds is None else numbers_in("bounds", bounds, "..", float),
        layers=layers.split(",") if layers else (),
        dtype=None if dtype is None else find_dtype(dtype),
        name=argument,
    )


def as_generator(
    module: nn.Module,
    *,
    latent: Sequence[int] | None = None,
    latents: LatentSource | None = None,
    bounds: Sequence[float] | None = None,
    layers: Sequence[str] = (),
    dtype: torch.dtype | None = None,
    name: str | None = None,
) -> HookedGenerator:
    """Make a generator of any module that draws pictures.

    Args:
        module: takes latents [b, …], returns pictures [b, 3, H, W] or [b, 1, H, W], alone or in a structure.
        latent: the shape of one latent, which is drawn from N(0, 1). Where neither this nor `latents` is given, the
            module is asked: for a method ``latents(ids, seed)``, for an attribute such as ``latent_dim``; else the
            input sizes of its first weights are tried.
        latents: gives the latents of ids and a seed instead; row i may depend on (seed, ids[i]) only.
        bounds: the values that mean black and white; else they are looked for (see `HookedGenerator`).
        layers: the layers to offer; else all.
        dtype: the number format in which a copy of the module shall compute; else the module does, as it is. Its own
            latents are still those of the original; what is taken and given here is float32 throughout.
        name: what to call it in messages and fingerprints; else the name of its class.

    Raises:
        UnknownName: no such layer.
        BadFile: its weights hold NaN or Inf.
        BadModel: it is no generator, or its latents cannot be found.
        BadValue: the bounds are not two numbers, the lower one first, or the latent is no shape.

    >>> net = nn.Sequential(nn.ConvTranspose2d(8, 4, 16), nn.ReLU(), nn.Conv2d(4, 3, 1), nn.Tanh())
    >>> generator = as_generator(net)
    >>> list(generator.layers.items())
    [('0', LayerShape(units=4, height=16, width=16)), ('1', LayerShape(units=4, height=16, width=16))]
    >>> generator.observe(generator.latents(range(5), seed=0), ["1"]).images.shape
    torch.Size([5, 3, 16, 16])
    """
    name = name or type(module).__name__
    if bounds is not None and not (len(bounds) == 2 and bounds[0] < bounds[1]):
        raise BadValue(f"bounds={tuple(bounds)} are not two numbers, black and white, the lower first; give 0..1")
    if latent is not None and not (latent and all(size > 0 for size in latent)):
        raise BadValue(f"latent={tuple(latent)} is no shape; give 128 or 100x1x1")
    own = latents or _own_latents(module)
    if dtype is not None and dtype != dtype_of(module):
        with guarded(f"casting {name} to {dtype}"):
            module = copy.deepcopy(module).to(dtype)
    source = own or _normal(latent or find_latent(module, name))
    generator = HookedGenerator(module, source, None if bounds is None else (bounds[0], bounds[1]), layers, name)
    if own:
        generator.fingerprint = fingerprint({"latents": generator.latents(range(2), 0)}, generator.fingerprint)
    return generator


@torch.no_grad()
def find_latent(module: nn.Module, name: str) -> tuple[int, ...]:
    """Find the shape of a module's latents by trying those that its attributes and first weights suggest.

    Raises:
        BadModel: none of them makes it draw a picture of at least 16 pixels a side.
    """
    tried = list(dict.fromkeys(_candidates(module)))
    for shape in tried:
        try:
            pictures = run(module, _normal(shape)(range(2), 0).to(device_of(module)), name)
        except BadModel:
            continue
        if min(pictures.shape[-2:]) >= SMALLEST:
            return shape
    shown = ", ".join("x".join(map(str, shape)) for shape in tried) or "none"
    raise BadModel(f"cannot find the latent size of {name} (tried {shown}); say it: latent=128 or latent=100x1x1")


def _candidates(module: nn.Module) -> Iterator[tuple[int, ...]]:
    for attribute in SIZES:
        size = getattr(module, attribute, None)
        if isinstance(size, int):
            yield from ((size,), (size, 1, 1))
        elif isinstance(size, tuple | list) and all(isinstance(n, int) for n in size):
            yield tuple(size)
    weights = [weight for weight in module.parameters() if weight.ndim >= 2]
    for weight in weights[:8]:  # linear and conv: [out, in, …]; transposed conv: [in, out, …]
        for size in (weight.shape[1], weight.shape[0]):
            yield from ((size,), (size, 1, 1)) if weight.ndim == 2 else ((size, 1, 1), (size,))


def _own_latents(module: nn.Module) -> LatentSource | None:
    own = getattr(module, "latents", None)
    return own if callable(own) and not isinstance(own, nn.Module | Tensor) else None


def numbers_in(option: str, text: str, between: str, kind: Callable[[str], N]) -> tuple[N, ...]:
    """Read the numbers of an option.

    Raises:
        BadValue: they are not of that kind.
    """
    try:
        return tuple(kind(part) for part in text.split(between))
    except ValueError:
        raise BadValue(f"option {option}={text!r} is no series of numbers with {between!r} between them") from None


def _normal(shape: Sequence[int]) -> LatentSource:
    def source(ids: range, seed: int) -> Tensor:
        return standard_normal(ids, seed, shape, torch.device("cpu"))

    return source
