"""Loading state dicts into modules: all of the tensors and nothing else, whatever prefixes their names have."""

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadFile
from ganatomy.models.weights.networks import (
    AVERAGED,
    EXTRA,
    Network,
    bare,
    likeliest,
    listed,
    read_networks,
    shared_prefixes,
)
from ganatomy.models.weights.state_dicts import check_finite, misfit, plain_problem, unbounded

OLDER = {"original0": "g", "original1": "v", "original": "orig", "0._u": "u", "0._v": "v"}
"""Names of the tensors of weight and spectral norm as parametrizations, and the suffixes of the older versions."""


MOST = 200
"""Most parts of a file that are tried for a hint."""


@dataclass(frozen=True)
class Own:
    """The tensors of a module by name, the groups that share memory, and the names of entries of any type."""

    tensors: Mapping[str, Tensor]
    extra: frozenset[str]
    same: Mapping[str, list[str]]

    @classmethod
    def of(cls, module: nn.Module) -> "Own":
        """Return those of a module."""
        state = module.state_dict(keep_vars=True)
        tensors = {name: value for name, value in state.items() if name.rpartition(".")[2] != EXTRA}
        groups: dict[object, list[str]] = {}
        for name, value in tensors.items():
            groups.setdefault(_memory(value), []).append(name)
        same = {name: group for group in groups.values() if len(group) > 1 for name in group}
        return cls(tensors, frozenset(state.keys() - tensors.keys()), same)


@dataclass
class Fit:
    """How a network of a file fits a module.

    Attributes:
        network: of the file.
        values: by their names in the module.
        file_names: their names in the file.
        prefixes: the one removed from names of the module, and from names of the file.
        problem: why it does not fit; empty if it does.
        misfits: the count of missing and extra names.
        missing: names of the module.
    """

    network: Network
    values: dict[str, Any]
    file_names: dict[str, str]
    prefixes: tuple[str, str] = ("", "")
    problem: str = ""
    misfits: int = 0
    missing: list[str] = field(default_factory=list)


def load_weights(module: nn.Module, path: Path, prefix: str = "") -> None:
    """Load the one network of a file that fits a module, all of it; see `read_state` for the formats and `prefix`.

    Its names may have a common prefix that those of the module lack, or the other way round. Tensors that the module
    has under two names may be there under one; weight and spectral norm under the names of either version.

    Raises:
        BadFile: none fits, several do, or it holds NaN or Inf; names the file and the tensor, and lists what there is.
    """
    own, networks = Own.of(module), read_networks(path, prefix)
    size = path.stat().st_size
    fits = [_fit(own, each, size) for each in networks]
    if len(networks) > 1 and all(fit.problem for fit in fits):
        joined = {each.path + name: value for each in networks for name, value in each.tensors.items()}
        extra = {each.path + name: value for each in networks for name, value in each.extra.items()}
        whole = _fit(own, Network("", joined, extra), size)
        fits = fits if whole.problem else [whole]
    good = [fit for fit in fits if not fit.problem]
    if len(good) > 1:
        best = likeliest([fit.network for fit in good])
        text = listed(fit.network.described() for fit in good)
        raise BadFile(f"{path}: holds several networks that fit: {text}; give one of them: prefix={best}")
    if not good and len(fits) > 1:
        text = listed(fit.network.described(fit.problem + _fitting_parts(own, fit, size)) for fit in fits)
        raise BadFile(f"{path}: holds no network that fits: {text}")
    _load(module, own, (good or fits)[0], str(path), size)


def fit_state(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load a state dict into a module, all of it and nothing else.

    Raises:
        BadFile: missing, extra or misshaped tensors; names the source and the first of them.
    """
    own = Own.of(module)
    _load(module, own, _fit(own, Network("", dict(state)), None), source, None)


def _load(module: nn.Module, own: Own, fit: Fit, source: str, size: int | None) -> None:
    whole = size is None or not unbounded(fit.network.tensors, size)
    if fit.misfits and whole and _loads_by_itself(module) and _taken_by_itself(module, fit, source):
        return
    if fit.problem:
        raise BadFile(f"{source}: {fit.problem}{_fitting_parts(own, fit, size) or _content(own, fit)}")
    check_finite({fit.file_names[n]: v for n, v in fit.values.items() if isinstance(v, Tensor)}, source)
    values = dict(fit.values)
    for name in own.tensors:
        if name not in values and (known := [each for each in own.same.get(name, ()) if each in values]):
            values[name] = values[known[0]]
    assign = any(tensor.is_meta for tensor in own.tensors.values())
    if assign:
        values = {n: v.to(own.tensors[n].dtype) if n in own.tensors else v for n, v in values.items()}
    state = OrderedDict(values)
    state._metadata = _metadata(fit)  # type: ignore[attr-defined]
    try:
        module.load_state_dict(state, strict=False, assign=assign)
    except Exception as error:  # whatever the module's own code raises
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadFile(f"{source}: does not load ({reason})") from error


def _fit(own: Own, network: Network, size: int | None) -> Fit:
    """Match the names of a network to those of a module, with the common prefixes that match best."""
    names = (*network.tensors, *network.extra)
    stored = {bare(name): name for name in names}
    if len(stored) < len(names):  # of a wrapped network and of one that is not
        stored = {name: name for name in names}
    if AVERAGED not in own.tensors and all(name.startswith("module.") for name in stored if name != AVERAGED):
        stored.pop(AVERAGED, None)
    own_names = {bare(name): name for name in (*own.tensors, *own.extra)}
    best: Fit | None = None
    pairs = [(a, b) for a in shared_prefixes(own_names) for b in shared_prefixes(stored)]
    for mine, theirs in sorted(pairs, key=lambda pair: len(pair[0]) + len(pair[1])):
        fit = _matched(own, network, (mine, theirs), own_names, stored)
        best = fit if best is None or fit.misfits < best.misfits else best
    assert best is not None
    if not best.problem:
        best.problem = _wrong_values(own, best, size)
    return best


def _matched(
    own: Own, network: Network, prefixes: tuple[str, str], own_names: Mapping[str, str], stored: Mapping[str, str]
) -> Fit:
    """Match names without these prefixes."""
    mine, theirs = prefixes
    known = {name.removeprefix(mine): whole for name, whole in own_names.items()}
    names, extra = {}, []
    for name, whole in stored.items():
        short = name.removeprefix(theirs)
        found = next((each for each in (short, *_other_names(short)) if each in known), None)
        if found is not None:
            names[known[found]] = whole
        elif not _counter(short, known):
            extra.append(whole)
    missing = [
        whole
        for name, whole in known.items()
        if whole not in names
        and not name.endswith("num_batches_tracked")
        and not any(each in names for each in own.same.get(whole, ()))
    ]
    values = {
        n: network.tensors[whole] if whole in network.tensors else network.extra[whole] for n, whole in names.items()
    }
    problem = ""
    if missing:
        problem = f"lacks tensor {missing[0]}" + _more(missing)
    elif extra:
        problem = f"has a tensor that the model lacks, {network.path}{extra[0]}" + _more(extra)
    files = {n: network.path + whole for n, whole in names.items()}
    return Fit(network, values, files, prefixes, problem, len(missing) + len(extra), missing)


def _counter(name: str, known: Mapping[str, str]) -> bool:
    """Return whether a tensor is the batch counter of a norm that has none in the module."""
    head, _, leaf = name.rpartition("num_batches_tracked")
    return not leaf and bool(head or name) and head + "running_mean" in known


def _other_names(name: str) -> Iterator[str]:
    """Yield the names of a tensor in other versions of weight norm and spectral norm.

    >>> list(_other_names("a.weight_v"))
    ['a.parametrizations.weight.original1', 'a.parametrizations.weight.0._v']
    """
    if new := re.fullmatch(r"(.*\.)?parametrizations\.(\w+)\.(original[01]?|0\._[uv])", name):
        yield f"{new[1] or ''}{new[2]}_{OLDER[new[3]]}"
    elif old := re.fullmatch(r"(.*\.)?(\w+)_(g|v|orig|u)", name):
        for leaf in (leaf for leaf, short in OLDER.items() if short == old[3]):
            yield f"{old[1] or ''}parametrizations.{old[2]}.{leaf}"


def _wrong_values(own: Own, fit: Fit, size: int | None) -> str:
    """Return which tensor cannot be loaded, and why; empty if all can."""
    tensors = {fit.file_names[n]: fit.values[n] for n in own.tensors if n in fit.values}
    for file_name, value in tensors.items():
        if problem := plain_problem(value):
            return f"tensor {file_name} {problem}"
    if size is not None and unbounded(tensors, size):
        return "holds tensors that unfold to many times the size of the file; save them with contiguous()"
    for name in own.tensors:
        if name in fit.values and (problem := misfit(fit.values[name], own.tensors[name])):
            return f"tensor {fit.file_names[name]} {problem}"
    for name, group in own.same.items():
        first = next(each for each in group if each in fit.values)
        if name in fit.values and not torch.equal(fit.values[name], fit.values[first]):
            return f"tensors {fit.file_names[first]} and {fit.file_names[name]} differ, and the model has one for both"
    return ""


def _fitting_parts(own: Own, fit: Fit, size: int | None) -> str:
    """Return a hint at the prefixes of the parts that would fit; empty if none would."""
    if not fit.missing:
        return ""
    start = bare(fit.missing[0])
    heads = [bare(name).removesuffix(start) for name in fit.network.tensors if bare(name).endswith(f".{start}")][:MOST]
    inner = [part for head in heads if not _fit(own, part := fit.network.within(head), size).problem]
    if not inner:
        return ""
    names = " or ".join(f"prefix={part.path}" for part in inner[:4])
    return f"; {listed(part.described() for part in inner)} {'fits' if len(inner) == 1 else 'fit'}, so give {names}"


def _content(own: Own, fit: Fit) -> str:
    """Return a hint at the content of a network that is something else altogether."""
    parts, words = fit.network.parts(), {name.partition(".")[0] for name in own.tensors}
    if not fit.missing or words & {part.path.removeprefix(fit.network.path).rstrip(".") for part in parts}:
        return ""
    if len(parts) > 1:
        return f"; it holds {listed(part.described() for part in parts)}"
    return "" if fit.values else f"; it holds {listed(fit.network.path + name for name in fit.network.tensors)}"


def _loads_by_itself(module: nn.Module) -> bool:
    """Return whether a submodule has code of its own for state dicts, such as those of its older versions."""
    methods = ("_load_from_state_dict", "load_state_dict")
    return any(
        getattr(type(part), method) is not getattr(nn.Module, method) for part in module.modules() for method in methods
    ) or any(part._load_state_dict_pre_hooks for part in module.modules())


def _taken_by_itself(module: nn.Module, fit: Fit, source: str) -> bool:
    """Let the module's own code load a state dict; leave the module as it was if that fails."""
    tensors = fit.network.tensors
    if any(plain_problem(value) or value.is_complex() for value in tensors.values()):
        return False
    before = {name: value.clone() for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    mine, theirs = fit.prefixes
    stored = {**tensors, **fit.network.extra}
    state = OrderedDict({mine + bare(name).removeprefix(theirs): value for name, value in stored.items()})
    if len(state) < len(stored):
        return False
    state._metadata = _metadata(fit)  # type: ignore[attr-defined]
    try:
        module.load_state_dict(state, strict=True)
    except Exception:  # whatever the module's own code raises
        for name, value in module.state_dict().items():
            if name in before:
                value.copy_(before[name])
        return False
    check_finite({fit.network.path + name: value for name, value in tensors.items()}, source)
    return True


def _metadata(fit: Fit) -> dict[str, Any]:
    """Return the versions of submodules, by their names in the module."""
    mine, theirs = fit.prefixes
    named = {f"{bare(name)}.".removeprefix("."): value for name, value in fit.network.metadata.items()}
    return {
        (mine + name.removeprefix(theirs)).removesuffix("."): value
        for name, value in named.items()
        if name.startswith(theirs)
    }


def _memory(value: Tensor) -> object:
    """Return a key of a tensor's memory: the same for two names of one tensor."""
    if value.is_meta or value.layout != torch.strided or nn.parameter.is_lazy(value) or not value.numel():
        return id(value)
    return value.data_ptr(), value.shape, value.stride(), value.dtype


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
