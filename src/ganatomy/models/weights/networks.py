"""The networks in a checkpoint: found in its dictionaries, selected by a prefix, and listed in messages."""

import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganatomy.core.errors import BadFile
from ganatomy.models.weights.pickles import Array
from ganatomy.models.weights.readers import read_content
from ganatomy.models.weights.sibling_files import Numbers
from ganatomy.models.weights.state_dicts import State, check_finite, check_plain

DEEPEST, MOST = 8, 10_000
"""The deepest nesting of dictionaries, and the most of them."""
SHOWN = 8
"""Most networks in a message."""
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Parts of names that PyTorch inserts for a compiled, sharded or checkpointed module."""
AVERAGED = "n_averaged"
"""The counter of torch.optim.swa_utils.AveragedModel."""
OF_LIGHTNING = ("hyper_parameters", "datamodule_hyper_parameters", "callbacks", "loops")
"""Entries of Lightning that are no networks and may hold tensors."""
EXTRA = "_extra_state"
"""The last part of PyTorch's names of entries of any type."""


@dataclass(frozen=True)
class Network:
    """A state dict of a file, or part of one.

    Attributes:
        path: the prefix of its names in the file: ``g_ema.``; empty for all of the file.
        tensors: by name.
        extra: entries of any type, by name.
        metadata: versions of its modules, as PyTorch keeps them.
    """

    path: str
    tensors: State
    extra: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def within(self, prefix: str) -> "Network":
        """Return the part whose names begin with `prefix`, without it."""
        length = len(prefix)
        tensors, extra = (
            {name[length:]: value for name, value in values.items() if name.startswith(prefix)}
            for values in (self.tensors, self.extra)
        )
        metadata = {
            f"{name}."[length:].removesuffix("."): value
            for name, value in self.metadata.items()
            if f"{name}.".startswith(prefix)
        }
        return Network(self.path + prefix, tensors, extra, metadata)

    def selected(self, prefix: str) -> "Network":
        """Return the part whose names begin with `prefix`, which may begin anywhere in the path."""
        whole = f".{self.path}".find(f".{prefix}") >= 0
        return self if whole else self.within(prefix.removeprefix(self.path))

    def parts(self) -> list["Network"]:
        """Return the parts by the first component of their names."""
        words = dict.fromkeys(name.partition(".")[0] + "." for name in self.tensors if "." in name)
        return [self.within(word) for word in words]

    def described(self, note: str = "") -> str:
        """Return its name and size, for messages."""
        count = len(self.tensors)
        inside = f"{count} tensor{'s' * (count != 1)}" + (f", {note}" if note else "")
        return f"{self.path or 'the rest'} ({inside})"


def listed(networks: Iterable[str]) -> str:
    """Return the first few descriptions, separated by commas."""
    parts = list(networks)
    return ", ".join(parts[:SHOWN]) + (f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else "")


def likeliest(networks: Sequence[Network]) -> str:
    """Return the path of the network that is usually meant: an average over the training, where there is one."""
    paths = [each.path for each in networks if each.path]
    return next((path for path in paths if "ema" in path), paths[0])


def read_state(path: Path, prefix: str = "") -> State:
    """Read the tensors of one network of a file, by name; see `read_content` for the formats.

    Dictionaries around the tensors are unwrapped. Where the file holds more than one network, `prefix` selects one,
    such as ``g_ema.`` or ``decoder.``, and is removed; it descends through dictionaries as well as through names with
    dots. The prefixes of DataParallel and torch.compile are removed.

    Raises:
        BadFile: missing, cut off, of another format, holding something other than tensors, or with NaN or Inf; names
            the file and the tensor. Or it holds several networks, which are listed.
    """
    networks = read_networks(path, prefix)
    if len(networks) > 1:
        raise BadFile(
            f"{path}: holds several networks: {listed(each.described() for each in networks)}; give "
            f"prefix={likeliest(networks)}, or save the one that is meant by itself"
        )
    tensors = {bare(name): tensor for name, tensor in networks[0].tensors.items()}
    rest = [name for name in tensors if name != AVERAGED]
    if all(name.startswith("module.") for name in rest):
        tensors = {name.removeprefix("module."): tensors[name] for name in rest}
    check_plain(tensors, f"{path}", networks[0].path, path.stat().st_size)
    check_finite(tensors, f"{path}")
    return tensors


def read_networks(path: Path, prefix: str = "") -> list[Network]:
    """Read the networks of a file, or the parts of them that begin with `prefix`."""
    content = read_content(path)
    networks = _with_layers(list(_found(content, str(path))))
    if not networks:
        raise BadFile(f"{path}: {_description(content)}")
    if not prefix:
        return networks
    for start in [prefix] if prefix.endswith(".") else [prefix + ".", prefix]:
        picked = [found for each in networks if (found := each.selected(start)).tensors]
        full = [found for found in picked if found.path.startswith(start)]
        if picked:
            return full or picked
    parts = networks if len(networks) > 1 else networks[0].parts()
    there = f"it holds {listed(each.described() for each in parts)}" if parts else ""
    raise BadFile(
        f"{path}: no tensor's name begins with {prefix!r}; {there or f'the first is {next(iter(networks[0].tensors))}'}"
    )


def bare(name: str) -> str:
    """Return a name without the parts that PyTorch inserts for wrapped modules.

    >>> bare("_orig_mod.block._orig_mod.0.weight")
    'block.0.weight'
    """
    if not any(wrapper in name for wrapper in WRAPPERS):
        return name
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def shared_prefixes(names: Collection[str]) -> list[str]:
    """Return the common prefixes of names that end with a dot, and the empty one.

    >>> shared_prefixes(["net.a.weight", "net.a.bias"])
    ['', 'net.', 'net.a.']
    """
    prefixes, first = [""], next(iter(names), "")
    while "." in first[len(prefixes[-1]) :]:
        longer = prefixes[-1] + first[len(prefixes[-1]) :].partition(".")[0] + "."
        if not all(name.startswith(longer) for name in names):
            break
        prefixes.append(longer)
    return prefixes


def _found(content: Any, source: str) -> Iterator[Network]:
    """Yield the dictionaries with tensors, without those of optimizers."""
    queue: list[tuple[str, int, Any]] = [("", 0, content)]
    for path, depth, node in queue:
        entries = dict(enumerate(node)) if isinstance(node, list | tuple) else node
        if not isinstance(entries, Mapping) or {"state", "param_groups"} <= entries.keys():
            continue
        if depth > DEEPEST or len(queue) > MOST:
            raise BadFile(f"{source}: its dictionaries lie too deep in each other, or are too many")
        tensors, extra = {}, {}
        for key, value in entries.items():
            name = str(key)
            if name.rpartition(".")[2] == EXTRA:
                extra[name] = value
            elif isinstance(value, Tensor):
                tensors[name] = value
            elif isinstance(value, Numbers | Array):
                tensors |= _of_numpy(name, getattr(value, "values", None), f"{source}: {path}{name}")
            elif isinstance(value, Mapping | list | tuple) and (path or name not in OF_LIGHTNING):
                queue.append((f"{path}{name}.", depth + 1, value))
        if tensors and not (isinstance(node, list | tuple)):
            yield Network(path, tensors, extra, getattr(node, "_metadata", None) or {})


def _of_numpy(name: str, values: Any, where: str) -> State:
    if values is None:
        return {}
    try:
        with warnings.catch_warnings(action="ignore"):  # about read-only memory
            return {name: torch.from_numpy(values)}
    except (TypeError, ValueError) as error:
        raise BadFile(f"{where} is an array that PyTorch does not take ({error})") from error


def _with_layers(networks: Sequence[Network]) -> list[Network]:
    """Drop dictionaries of scalars, such as the progress of a training, unless there is nothing else."""
    layers = [each for each in networks if any(tensor.ndim for tensor in each.tensors.values())]
    return layers or list(networks)[:1]


def _description(content: Any) -> str:
    if not isinstance(content, Mapping):
        return f"holds a {type(content).__name__}, not a state dict"
    if {"state", "param_groups"} <= content.keys():
        return "holds the state of an optimizer and no network"
    first = next(((name, value) for name, value in content.items() if not isinstance(value, Mapping)), None)
    return f"entry {first[0]!r} is a {type(first[1]).__name__}, not a tensor" if first else "holds no tensors"
