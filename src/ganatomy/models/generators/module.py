"""Modules that others wrote, opened by name or handed over: ``torch:package.module:callable?key=value``."""

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from ganatomy.core.devices import find_dtype
from ganatomy.core.errors import BadModel, BadValue, GanatomyError
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.foreign_code import foreign_errors, instantiate
from ganatomy.models.generators.hooked import HookedGenerator, LatentSource, call
from ganatomy.models.generators.latents import standard_normal
from ganatomy.models.generators.outputs import check_bounds, images_in
from ganatomy.models.generators.registry import GENERATORS
from ganatomy.models.weights import load_weights
from ganatomy.models.wrapped import cast, check_readable, device_of, dtype_of, unwrapped

N = TypeVar("N", int, float)

SIZES = ("latent_dim", "latent_size", "latent_shape", "z_dim", "z_size", "dim_z", "nz", "noise_dim")
"""Attributes in which modules keep the size of their latents."""
SMALLEST = 16
"""Pixels a side that an image must have before a guessed latent counts as found."""


@GENERATORS.register("torch", argument="code", weights="option")
def open_module(
    argument: str,
    /,
    *,
    device: torch.device,
    weights: str = "",
    prefix: str = "",
    latent: str | None = None,
    bounds: str | None = None,
    layers: str | None = None,
    dtype: str | None = None,
    output: str = "",
    **options: str,
) -> HookedGenerator:
    """Open the `torch.nn.Module` that ``package.module:callable`` names or returns; other options go to the callable.

    Args:
        argument: what to import and call; the current directory is importable.
        weights: a file with its state dict.
        prefix: of the names of its tensors, ``decoder.``, in a file of several networks.
        latent: the shape of one latent, ``128`` or ``100x1x1``; else it is found.
        bounds: the values that mean black and white, ``0..1``; else they are found.
        layers: the layers to offer, ``a,b``; else all.
        dtype: the number format in which it computes; else that of its weights.
        output: which of several tensors that it returns are the images, ``image`` or ``0``; else it is found.
        options: for the callable.

    Raises:
        UnknownName: no such module, callable, option, layer or number format.
        BadFile: the weights do not fit, or hold NaN or Inf.
        BadModel: it is no generator.
        BadValue: an option cannot be read.
    """
    module = build(argument, options, weights, prefix)
    return as_generator(
        module.to(device),
        latent=None if latent is None else numbers_in("latent", latent, "x", int),
        bounds=None if bounds is None else numbers_in("bounds", bounds, "..", float),
        layers=layers.split(",") if layers else (),
        dtype=None if dtype is None else find_dtype(dtype),
        name=argument,
        output=output,
    )


def build(argument: str, options: Mapping[str, str], weights: str, prefix: str) -> nn.Module:
    """Return the module that ``package.module:callable`` names or returns, with weights of a file, if one is named."""
    module = instantiate(argument, options)
    if not isinstance(module, nn.Module):
        raise BadModel(f"{argument} gives a {type(module).__name__}; it must give a torch.nn.Module")
    if weights:
        load_weights(module, Path(weights), prefix)
    return module


def as_generator(
    module: nn.Module,
    *,
    latent: Sequence[int] | None = None,
    latents: LatentSource | None = None,
    bounds: Sequence[float] | None = None,
    layers: Sequence[str] = (),
    dtype: torch.dtype | None = None,
    name: str | None = None,
    output: str = "",
) -> HookedGenerator:
    """Make a generator of any module that draws images.

    Args:
        module: takes latents [b, …], returns images [b, 3, H, W] or [b, 1, H, W], alone or in a structure. Wrapped
            by `torch.compile`, `DataParallel` or an average of weights, the network inside is taken.
        latent: the shape of one latent, which is drawn from N(0, 1). Where neither this nor `latents` is given, the
            module's method ``latents(ids, seed)`` or attribute such as ``latent_dim`` says it; else the input sizes of
            its first weights are tried.
        latents: gives the latents of ids and a seed instead; row i may depend on (seed, ids[i]) only.
        bounds: the values that mean black and white; else they are found (see `HookedGenerator`).
        layers: the layers to offer; else all.
        dtype: the number format in which a copy of the module computes; else the module does, as it is. Its own
            latents are still those of the original; images and features are float32.
        name: of the module in messages and fingerprints; else the name of its class.
        output: the path of the images among several tensors that it returns, ``image`` or ``0``; else the one with
            three channels and a name of images, or the largest.

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
    module = unwrapped(module)
    name = name or type(module).__name__
    check_readable(module, name)
    given = None if bounds is None else check_bounds(bounds)
    if latent is not None and not (latent and all(size > 0 for size in latent)):
        raise BadValue(f"latent={tuple(latent)} is no shape; give 128 or 100x1x1")
    check_arguments(module, name)
    own = latents or _own_latents(module)
    if dtype is not None and dtype != dtype_of(module):
        with foreign_errors(f"copying {name}"):
            module = copy.deepcopy(module)
        module = cast(module, dtype, name)
    source = own or _normal(latent or find_latent(module, name, output))
    try:
        generator = HookedGenerator(module, source, given, layers, name, output=output)
    except BadModel as error:
        if latent is None or error.__cause__ is None:
            raise
        raise BadModel(f"{error}; it was given latent={'x'.join(map(str, latent))}") from error
    if own:
        generator.fingerprint = fingerprint({"latents": generator.latents(range(2), 0)}, generator.fingerprint)
    return generator


def check_arguments(module: nn.Module, name: str) -> None:
    """Refuse a module whose forward needs more than one argument.

    Raises:
        BadModel: names them.
    """
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):  # builtins do not say
        return
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    if not positional:
        named = f" by position (it takes {', '.join(p.name for p in parameters)} by name)" if parameters else ""
        raise BadModel(f"forward of {name} takes no input{named}; wrap it in a module whose forward takes one")
    required = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    others = [each for each in required if each != positional[0].name]
    if others:
        raise BadModel(
            f"forward of {name} wants {', '.join(others)} beside {positional[0].name}; wrap it in a module whose "
            f"forward takes {positional[0].name} alone and fills in {', '.join(others)}"
        )


@torch.no_grad()
def find_latent(module: nn.Module, name: str, output: str = "") -> tuple[int, ...]:
    """Return the shape of a module's latents: the first that works of those that its attributes and weights suggest.

    Raises:
        BadModel: none gives an image of at least 16 pixels a side; says what it returns instead, or raises, where
            that does not depend on the latent.
    """
    tried = list(dict.fromkeys(_candidates(module)))
    raised, wrong = [], []
    for shape in tried:
        z = _normal(shape)(range(2), 0).to(device_of(module))
        try:
            returned = call(module, z.to(dtype_of(module)), name)
        except BadModel as error:
            raised.append(str(error))
            continue
        try:
            images = images_in(returned, len(z), name, output)[1]
        except GanatomyError as error:
            wrong.append(error)
            continue
        if min(images.shape[-2:]) >= SMALLEST:
            return shape
    if wrong:
        raise wrong[0]  # a latent that it takes, and no images
    shown = ", ".join("x".join(map(str, shape)) for shape in tried) or "none"
    if tried and len(raised) == len(tried) and len(set(raised)) == 1:
        raise BadModel(f"{raised[0]} (for each of the latents {shown}; if it is another, say it: latent=128)")
    first = f"; with {shown.partition(',')[0]}, {raised[0]}" if raised else ""
    raise BadModel(
        f"cannot find the latent size of {name} (tried {shown}); say it: latent=128 or latent=100x1x1{first}"
    )


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
    """Return the numbers in the text of an option.

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
