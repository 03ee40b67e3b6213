"""Programs of torch.export as generators: a graph of PyTorch's operators, interpreted node by node.

A file holds no Python. What it can do here is to call operators of the ``aten`` library on tensors and numbers; those
that name files are refused, and so is any other library.
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadFile, BadModel
from ganatomy.core.fingerprint import fingerprint
from ganatomy.models.generators.hooked import HookedGenerator, call
from ganatomy.models.generators.latents import standard_normal
from ganatomy.models.generators.module import as_generator, numbers_in
from ganatomy.models.generators.outputs import images_in
from ganatomy.models.generators.registry import GENERATORS
from ganatomy.models.weights.exported import NUMBERS, Json, Program, read_program
from ganatomy.models.wrapped import device_of, dtype_of

ON_NUMBERS: Mapping[str, Callable[..., Any]] = {
    f"_operator.{name}": getattr(operator, name)
    for name in ["add", "sub", "mul", "floordiv", "mod", "truediv", "neg", "eq", "ne", "ge", "gt", "le", "lt"]
}
"""Functions of sizes."""

PLAIN = {f"as_{kind}" for kind in ["int", "ints", "bool", "bools", "string", "strings", "float", "floats"]}
SYMBOLS = {f"as_sym_{kind}" for kind in ["int", "ints", "bool", "bools", "float", "floats"]}
TENSORS = {"as_tensor", "as_tensors", "as_optional_tensor", "as_optional_tensors"}
HINT = (
    "export with torch.export.export(net.eval(), (z,), dynamic_shapes=({0: torch.export.Dim('batch')},)), "
    "z being two latents or more"
)
MEMORY = {1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d, 4: torch.preserve_format}
INNER = re.compile(
    "_(convolution|unsafe_view|to_copy|native_batch_norm_legit|native_batch_norm_legit_no_training|softmax|log_softmax"
    "|unsafe_index|local_scalar_dense|shape_as_tensor|weight_norm|adaptive_avg_pool2d|reshape_alias|cat|conj"
    "|scaled_dot_product_[a-z_]+|upsample_[a-z0-9_]+|assert_tensor_metadata|assert_scalar|assert_async)"
)
"""Private operators of PyTorch that it writes into programs."""
UNSOUND = re.compile(
    "quant|fbgemm|mkldnn|sparse|cudnn|miopen|nested|jagged|sobol|thnn|_backward$|^set_|^resize|^range$|^promote_types$"
    "|^new_empty_strided$|^linalg__"
)
"""Operators that no generator needs, and that end the process when their arguments make no sense."""


def is_sound(operator: str) -> bool:
    """Return whether an operator may be called with any arguments of a stranger's program.

    >>> [is_sound(name) for name in ("conv2d", "_convolution", "_stack", "fbgemm_linear_int8_weight")]
    [True, True, False, False]
    """
    known = INNER.fullmatch(operator) if operator.startswith("_") else True
    return bool(known) and UNSOUND.search(operator) is None


class _Step(NamedTuple):
    """One node: the function, its arguments, names of its results, modules that end here with their values.

    `gone` are the names that no later node reads.
    """

    call: Callable[..., Any]
    arguments: dict[str, Json]
    results: list[Json]
    ends: list[tuple[str, list[str]]]
    gone: list[str]


class Network(nn.Module):
    """A program as a module: takes latents, returns what the program returns.

    It has the submodules of the original, identities that get the values that were computed in the original submodule
    and are used outside, one tensor or a tuple: there they can be read and replaced.

    Raises:
        BadFile: an operator or a kind of argument that is not allowed.
    """

    def __init__(self, program: Program, source: str) -> None:
        super().__init__()
        self._inputs, self._outputs, self._held = program.inputs, program.outputs, list(program.tensors)
        for i, tensor in enumerate(program.tensors.values()):
            self.register_buffer(f"tensor {i}", tensor)
        nodes = program.graph["nodes"]
        calls = _calls(nodes, program.outputs)
        last = {name: i for i, node in enumerate(nodes) for name in _names(node["inputs"])}
        self._steps = []
        for i, node in enumerate(nodes):
            for argument in node["inputs"]:
                _check(argument["arg"], source)
            ends = [(path, values) for path, values in calls.get(i, []) if self._add_submodule(path)]
            gone = [name for name, at in last.items() if at == i and name not in program.outputs]
            arguments = {argument["name"]: argument["arg"] for argument in node["inputs"]}
            self._steps.append(_Step(_operator(node["target"], source), arguments, node["outputs"], ends, gone))

    def forward(self, z: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Run the program."""
        known: dict[str, Any] = dict(zip(self._held, self.buffers(recurse=False), strict=True))
        known[self._inputs[0]] = z
        for step in self._steps:
            given = {name: _value(argument, known, z.device) for name, argument in step.arguments.items()}
            result = step.call(*given.values()) if step.call in ON_NUMBERS.values() else step.call(**given)
            _bind(step.results, result, known)
            for path, values in step.ends:
                made = tuple(known[name] for name in values)
                put = self.get_submodule(path)(made[0] if len(made) == 1 else made)
                known.update(zip(values, [put] if len(made) == 1 else put, strict=True))
            for name in step.gone:
                known.pop(name, None)
        found = tuple(known[name] for name in self._outputs)
        return found[0] if len(found) == 1 else found

    def _add_submodule(self, path: str) -> bool:
        """Add a submodule; return whether there can be one of that name."""
        at: nn.Module = self
        for part in path.split("."):
            if part not in dict(at.named_children()):
                if not part or hasattr(at, part):
                    return False
                at.add_module(part, nn.Identity())
            at = at.get_submodule(part)
        return True


def _operator(target: str, source: str) -> Callable[..., Any]:
    """Return the operator that a node names."""
    if target in ON_NUMBERS:
        return ON_NUMBERS[target]
    match = re.fullmatch(r"torch\.ops\.aten\.([a-z]\w*|_[a-z]\w*)\.(\w+)", target)
    packet = getattr(torch.ops.aten, match[1], None) if match and is_sound(match[1]) else None
    found = getattr(packet, match[2], None) if match and isinstance(packet, torch._ops.OpOverloadPacket) else None
    if not isinstance(found, torch._ops.OpOverload) or any(a.name == "filename" for a in found._schema.arguments):
        raise BadFile(f"{source}: uses the operator {target}, which is not run; export the network in plain PyTorch")
    return found


def _check(argument: Json, source: str) -> None:
    ((kind, _),) = argument.items()
    known = PLAIN | SYMBOLS | TENSORS | {"as_none", "as_scalar_type", "as_memory_format", "as_layout", "as_device"}
    if kind not in known:
        raise BadFile(f"{source}: an operator takes {kind}, which is not run; export the network in plain PyTorch")


def _value(argument: Json, known: Mapping[str, Any], device: torch.device) -> Any:
    """Return the value of an argument; tensors that the program creates are on the device of the latents."""
    ((kind, content),) = argument.items()
    if kind in TENSORS | SYMBOLS:
        return [_named(each, known) for each in content] if kind.endswith("s") else _named(content, known)
    match kind:
        case "as_scalar_type":
            return NUMBERS[content]
        case "as_memory_format":
            return MEMORY[content]
        case "as_device":
            return device
        case "as_layout":
            return torch.strided
        case "as_none":
            return None
        case "as_float":
            return float(content)  # infinities are strings
        case "as_floats":
            return [float(each) for each in content]
    return content


def _named(content: Any, known: Mapping[str, Any]) -> Any:
    """Return a tensor or number by its name, a number that is given, or None."""
    name = _name(content)
    if name is not None:
        return known[name]
    return next((content[kind] for kind in ("as_int", "as_bool", "as_float") if kind in content), None)


def _name(content: Any) -> str | None:
    """Return the name in a reference to a tensor or a number: {name}, {as_name} or {as_tensor: {name}}."""
    inner = content.get("as_tensor", content)
    name = inner.get("name", inner.get("as_name"))
    return None if name is None else str(name)


def _bind(results: Sequence[Json], result: Any, known: dict[str, Any]) -> None:
    """Store the results of an operator under their names."""
    returned = [result] if len(results) == 1 else result
    for place, value in zip(results, returned, strict=True):
        ((kind, content),) = place.items()
        names = content if kind == "as_tensors" else [content]
        for each, own in zip(names, value if kind == "as_tensors" else [value], strict=True):
            if isinstance(each, dict) and (name := _name(each)) is not None:
                known[name] = own


def _names(arguments: Sequence[Json]) -> Iterator[str]:
    """Yield the names in a node's arguments."""
    for argument in arguments:
        ((kind, content),) = argument["arg"].items()
        if kind in TENSORS | SYMBOLS:
            for each in content if kind.endswith("s") else [content]:
                if (name := _name(each)) is not None:
                    yield name


def _calls(nodes: Sequence[Json], outputs: Sequence[str]) -> dict[int, list[tuple[str, list[str]]]]:
    """Return by the last node of every call of a module its path, and the values from it that are used outside.

    A call is a run of nodes that have it on their stack. Those that end at the same node are listed innermost first.
    """
    stacks = [_stack(node) for node in nodes]
    users: dict[str, list[int]] = {name: [len(nodes)] for name in outputs}
    for i, node in enumerate(nodes):
        for name in _names(node["inputs"]):
            users.setdefault(name, []).append(i)
    calls: dict[int, list[tuple[str, list[str]]]] = {}
    started: dict[tuple[str, str], int] = {}
    for i, stack in enumerate(stacks):
        later = stacks[i + 1] if i + 1 < len(nodes) else []
        for depth, entry in reversed(list(enumerate(stack))):
            first = started.setdefault(entry, i)
            if entry in later[: depth + 1]:
                continue
            del started[entry]
            results = [place for node in nodes[first : i + 1] for place in node["outputs"] if TENSORS & {*place}]
            made = _names([{"arg": place} for place in results])
            leaving = [name for name in made if any(not first <= user <= i for user in users.get(name, []))]
            if leaving:
                calls.setdefault(i, []).append((entry[1], leaving))
    return calls


def _stack(node: Json) -> list[tuple[str, str]]:
    """Return the calls of submodules in which a node was traced, outermost first, as (key, path)."""
    entries = [entry.split(",") for entry in node["metadata"].get("nn_module_stack", "").split(";") if entry]
    return [(entry[0], entry[1].partition("@")[0]) for entry in entries if len(entry) > 1 and entry[1]]


@GENERATORS.register("exported", data=True, fixed="its weights are part of a program, which is not rewritten")
def open_exported(
    path: str, /, *, device: torch.device, bounds: str | None = None, layers: str | None = None
) -> HookedGenerator:
    """Open a program that ``torch.export.save`` wrote. Latents are N(0, 1), of the shape that it was exported with.

    Its layers are the submodules of the network that was exported, by their paths, as for any torch module.

    Args:
        path: the ``.pt2`` file.
        bounds: the values that mean black and white, ``0..1``; else they are found.
        layers: the layers to offer, ``a,b``; else all.

    Raises:
        BadFile: no such program, or one that uses more than PyTorch's own operators on tensors.
        BadModel: it is no generator, or draws batches of one size only.
    """
    program = read_program(Path(path))
    try:
        shape, network = _latent(program, path), Network(program, path)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise BadFile(f"{path}: its graph is damaged ({error!r})") from error
    generator = program_generator(network.to(device), shape, path, (bounds, layers), HINT)
    steps = [(node["target"], node["inputs"], node["outputs"]) for node in program.graph["nodes"]]
    generator.fingerprint = fingerprint(program.tensors, "exported", steps, bounds)
    return generator


def _latent(program: Program, source: str) -> tuple[int, ...]:
    """Return the shape of one latent."""
    if len(program.inputs) != 1:
        given = ", ".join(program.inputs) or "nothing"
        raise BadModel(f"{source}: takes {given}; a generator takes one tensor of latents")
    sizes = program.graph["tensor_values"][program.inputs[0]]["sizes"][1:]
    if not sizes or any("as_int" not in size for size in sizes):
        raise BadModel(f"{source}: the latents that it takes have no fixed shape; only their number may vary")
    return tuple(int(size["as_int"]) for size in sizes)


@torch.no_grad()
def program_generator(
    network: nn.Module, shape: Sequence[int], source: str, options: tuple[str | None, str | None], hint: str
) -> HookedGenerator:
    """Return the generator of a program, latents of a shape, and the options bounds and layers.

    Raises:
        BadModel: images differ, or cannot be drawn, in batches of two sizes: the program fixes a batch size, or its
            images depend on each other. `hint` says how to make another.
    """
    z = standard_normal(range(3), 0, shape, device_of(network)).to(dtype_of(network))
    try:
        together, alone = (images_in(call(network, rows, source), len(rows), source)[1] for rows in (z, z[2:]))
        same = torch.allclose(together[2:], alone, atol=1e-2)
    except BadModel as error:
        raise BadModel(f"{error}; was it made for any batch? {hint}") from error
    if not together.numel():
        raise BadModel(f"{source}: draws empty images, {list(together.shape)}")
    if not same:
        raise BadModel(f"{source}: an image depends on those beside it; {hint}")
    bounds, layers = options
    return as_generator(
        network,
        latent=shape,
        bounds=None if bounds is None else numbers_in("bounds", bounds, "..", float),
        layers=layers.split(",") if layers else (),
        name=source,
    )
