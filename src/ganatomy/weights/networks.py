"""The networks that a checkpoint holds: found in its dictionaries, picked by a prefix, and named in messages."""

import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganatomy.errors import BadFile
from ganatomy.weights.beside import Numbers
from ganatomy.weights.pickles import Array
from ganatomy.weights.readers import read_content
from ganatomy.weights.states import State, check_finite, check_plain

DEEPEST, MOST = 8, 10_000
"""How deep dictionaries may lie in each other, and how many there may be."""
SHOWN = 8
"""Networks that a message names."""
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Parts of names that PyTorch puts in for a compiled, sharded or checkpointed module, which is another name only."""
AVERAGED = "n_averaged"
"""What torch.optim.swa_utils.AveragedModel counts beside the network that it holds."""
OF_LIGHTNING = ("hyper_parameters", "datamodule_hyper_parameters", "callbacks", "loops")
"""What Lightning keeps beside networks; there may be tensors in it."""
EXTRA = "_extra_state"
"""How the names of entries end that may be of any kind, as PyTorch has it."""


@dataclass(frozen=True)
class Network:
    """A state dict of a file, or part of one.

    Attributes:
        path: what stands before its names in the file: ``g_ema.``; empty for all of the file.
        tensors: by name.
        extra: entries that may be of any kind, by name.
        metadata: versions of its modules, as PyTorch keeps them.
    """

    path: str
    tensors: State
    extra: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def within(self, prefix: str) -> "Network":
        """Return the part whose names begin with `prefix`, which is taken off."""
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

    def picked(self, prefix: str) -> "Network":
        """Return the part whose names begin with `prefix`, with the path before them, or some of that, or none."""
        whole = f".{self.path}".find(f".{prefix}") >= 0
        return self if whole else self.within(prefix.removeprefix(self.path))

    def parts(self) -> list["Network"]:
        """Return the parts that have a word of their own before the first dot of their names."""
        words = dict.fromkeys(name.partition(".")[0] + "." for name in self.tensors if "." in name)
        return [self.within(word) for word in words]

    def described(self, says: str = "") -> str:
        """Return its name and size."""
        count = len(self.tensors)
        inside = f"{count} tensor{'s' * (count != 1)}" + (f", {says}" if says else "")
        return f"{self.path or 'the rest'} ({inside})"


def listed(networks: Iterable[str]) -> str:
    """Return descriptions of networks with commas between them, of many the first."""
    shown = list(networks)
    return ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else "")


def likeliest(networks: Sequence[Network]) -> str:
    """Return the path of the network that is meant most often: an average over the training, where there is one."""
    paths = [each.path for each in networks if each.path]
    return next((path for path in paths if "ema" in path), paths[0])


def read_state(path: Path, prefix: str = "") -> State:
    """Read the tensors of one network of a file, by name; see `read_content` for the formats.

    Dictionaries around the tensors are unwrapped. Where the file holds more than one network, `prefix` picks the one
    whose names begin with it, such as ``g_ema.`` or ``decoder.``, and takes it off; it descends through dictionaries as
    well as through names with dots. What DataParallel and torch.compile put before names is taken off.

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
    """Read the networks of a file, or the parts of them that begin with `prefix`.

    Raises:
        BadFile: it cannot be read, or holds no tensors of such names; says what it holds.
    """
    content = read_content(path)
    networks = _with_layers(list(_found(content, str(path))))
    if not networks:
        raise BadFile(f"{path}: {_instead(content)}")
    if not prefix:
        return networks
    for start in [prefix] if prefix.endswith(".") else [prefix + ".", prefix]:
        picked = [found for each in networks if (found := each.picked(start)).tensors]
        full = [found for found in picked if found.path.startswith(start)]
        if picked:
            return full or picked
    parts = networks if len(networks) > 1 else networks[0].parts()
    there = f"it holds {listed(each.described() for each in parts)}" if parts else ""
    raise BadFile(
        f"{path}: no tensor's name begins with {prefix!r}; {there or f'the first is {next(iter(networks[0].tensors))}'}"
    )


def bare(name: str) -> str:
    """Return a name without the parts that PyTorch puts in for wrapped modules.

    >>> bare("_orig_mod.block._orig_mod.0.weight")
    'block.0.weight'
    """
    if not any(wrapper in name for wrapper in WRAPPERS):
        return name
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def shared_prefixes(names: Collection[str]) -> list[str]:
    """Return what all of these names begin with, up to a dot each, from nothing on.

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
    """Yield the tensors of each dictionary that has some, but for those of optimizers."""
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
    """Return an array as a tensor, by its name; nothing of one that holds no numbers."""
    if values is None:
        return {}
    try:
        with warnings.catch_warnings(action="ignore"):  # that it cannot be written to, which nobody does
            return {name: torch.from_numpy(values)}
    except (TypeError, ValueError) as error:
        raise BadFile(f"{where} is an array that PyTorch does not take ({error})") from error


def _with_layers(networks: Sequence[Network]) -> list[Network]:
    """Leave out dictionaries of single numbers, as trainings keep of their progress, unless there is nothing else."""
    layers = [each for each in networks if any(tensor.ndim for tensor in each.tensors.values())]
    return layers or list(networks)[:1]


def _instead(content: Any) -> str:
    """Say what something is that holds no tensors."""
    if not isinstance(content, Mapping):
        return f"holds a {type(content).__name__}, not a state dict"
    first = next(((name, value) for name, value in content.items() if not isinstance(value, Mapping)), None)
    return f"entry {first[0]!r} is a {type(first[1]).__name__}, not a tensor" if first else "holds no tensors"
