"""Programs that ``torch.export.save`` wrote, read as data: a graph in JSON, and its tensors.

`torch.export.load` is not used: it unpickles what the archive asks for, evaluates expressions that are strings in it,
and loads compiled libraries. Here the graph is JSON, tensors are bytes, and what else there may be is refused.
"""

import io
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ganatomy.core.errors import BadFile
from ganatomy.core.files import loads_json
from ganatomy.models.weights.archives import ArchiveReader, open_archive
from ganatomy.models.weights.readers import AS_TORCHSCRIPT
from ganatomy.models.weights.state_dicts import State, check_finite, check_plain

NUMBERS = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32,
    8: torch.float64, 9: torch.complex32, 10: torch.complex64, 11: torch.complex128, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
"""Number formats by their codes in the files."""

NONE = "no program of torch.export; a state dict is opened with its class, torch:package.module:callable?weights=FILE"

Json = dict[str, Any]


class Program(NamedTuple):
    """A graph as in the file, its weights and constants, and the names of its inputs and outputs."""

    graph: Json
    tensors: State
    inputs: list[str]
    outputs: list[str]


def read_program(path: Path) -> Program:
    """Read a ``.pt2`` file that ``torch.export.save`` wrote. Nothing in it is run, evaluated or unpickled into code.

    Raises:
        BadFile: missing, cut off, of another format, with objects that are no tensors, or with NaN or Inf.
    """
    with open_archive(path, "program of torch.export", "torch.export.save") as entries:
        return _read(entries, path)


def _read(entries: ArchiveReader, path: Path) -> Program:
    old = "serialized_exported_program.json"  # before torch 2.8
    models = [name for name in entries.names if name.startswith("models/") and name.endswith(".json")]
    if len(models) > 1:
        raise BadFile(f"{path}: holds {len(models)} programs; save the generator alone")
    if not models and old not in entries.names:
        script = "constants.pkl" in entries.names
        raise BadFile(f"{path}: holds " + (f"a TorchScript program; {AS_TORCHSCRIPT}" if script else NONE))
    module = loads_json(entries.read(models[0] if models else old))["graph_module"]
    if models:
        name = models[0].removeprefix("models/").removesuffix(".json")
        state = _payload(entries, "weights", name, path) | _payload(entries, "constants", name, path)
    else:
        state = _pickled(entries.read("serialized_state_dict.pt")) | _pickled(entries.read("serialized_constants.pt"))
    check_plain(state, str(path), "", path.stat().st_size)
    check_finite(state, str(path))
    state = {name: tensor.contiguous() for name, tensor in state.items()}
    tensors, inputs = {}, []
    for spec in module["signature"]["input_specs"]:
        ((kind, of),) = spec.items()
        if kind == "user_input":
            inputs.append(_name(of["arg"], path))
        elif f"{kind}_name" in of and kind != "custom_obj":
            tensors[str(of["arg"]["name"])] = state[of[f"{kind}_name"]]
        else:
            raise BadFile(f"{path}: needs an object that is no tensor ({kind}), which is not unpickled")
    specs = [next(iter(spec.items())) for spec in module["signature"]["output_specs"]]
    outputs = [_name(of["arg"], path) for kind, of in specs if kind == "user_output"]
    return Program(module["graph"], tensors, inputs, outputs)


def _name(argument: Json, path: Path) -> str:
    ((kind, of),) = argument.items()
    if kind != "as_tensor":
        raise BadFile(f"{path}: takes or returns something other than tensors ({kind})")
    return str(of["name"])


def _payload(entries: ArchiveReader, kind: str, model: str, path: Path) -> State:
    """Read the weights or the constants of a program: plain bytes, or a pickled tensor each."""
    legacy = f"data/{kind}/{model}.pt"
    if legacy in entries.names:
        return _pickled(entries.read(legacy))
    config = loads_json(entries.read(f"data/{kind}/{model}_{kind}_config.json"))["config"]
    state = {}
    for name, entry in config.items():
        if not entry["path_name"].startswith(("weight_", "tensor_")):
            raise BadFile(f"{path}: {name} is an object that is no tensor, which is not unpickled")
        raw = entries.read(f"data/{kind}/{entry['path_name']}")
        state[name] = _unpickled(raw) if entry["use_pickle"] else _tensor(raw, entry["tensor_meta"])
        if not isinstance(state[name], Tensor):
            raise BadFile(f"{path}: {name} is a {type(state[name]).__name__}, not a tensor")
    return state


def _tensor(raw: bytes, meta: Mapping[str, Any]) -> Tensor:
    """Return the tensor that lies in these bytes."""
    sizes, strides = ([int(n["as_int"]) for n in meta[key]] for key in ("sizes", "strides"))
    dtype = NUMBERS[meta["dtype"]]
    if not math.prod(sizes):
        return torch.empty(sizes, dtype=dtype)
    values = torch.frombuffer(bytearray(raw), dtype=dtype)
    return values.as_strided(sizes, strides, int(meta["storage_offset"]["as_int"]))


def _unpickled(raw: bytes) -> Any:
    return torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)


def _pickled(raw: bytes) -> State:
    state = _unpickled(raw) if raw else {}
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise pickle.UnpicklingError(f"{name} is a {type(value).__name__}")
    return dict(state)
