"""Networks that ``torch.jit.trace`` recorded, read as data: parsed source, a tree of named tensors, constants.

`torch.jit.load` is not used: it compiles what the archive says, and runs the ``__setstate__`` of its classes. Here the
source is parsed and never compiled, and the pickles are read by `machine`.
"""

import ast
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ganatomy.core.errors import BadFile
from ganatomy.models.weights.archives import ArchivedPickle, ArchiveReader, open_archive
from ganatomy.models.weights.pickle_interpreter import Function, Refused
from ganatomy.models.weights.pickles import CALLS, NUMBER_FORMATS, StubObject
from ganatomy.models.weights.state_dicts import check_finite

ALLOWED: Mapping[str, Any] = {
    **NUMBER_FORMATS,
    **{name: CALLS[name] for name in ("collections.OrderedDict", "torch._utils._rebuild_tensor_v2")},
}
"""Names that its pickles may have besides classes."""
DEEPEST, MOST = 100, 100_000
"""The deepest nesting of modules, and the most modules."""


class Script(NamedTuple):
    """A traced network: its objects, the methods of their classes by name, its constants, the shape of its input.

    A `StubObject` holds tensors, further objects and plain values by their names. The shape is None where it is not
    kept.
    """

    root: StubObject
    classes: dict[str, dict[str, ast.FunctionDef]]
    constants: list[Tensor]
    input: tuple[int, ...] | None


def read_script(path: Path) -> Script:
    """Read a file that ``torch.jit.save`` wrote. Nothing in it is run, compiled or unpickled into code.

    Raises:
        BadFile: missing, cut off, of another format, with objects that are no modules or tensors, or with NaN or Inf.
    """
    with open_archive(path, "TorchScript file", "torch.jit.save") as entries:
        return _read(entries, path)


def tensors_in(root: StubObject) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of an object and of those in it, by their paths."""
    parts = [("", root)]
    for path, part in parts:
        if path.count(".") > DEEPEST or len(parts) > MOST:
            raise Refused("holds modules within themselves, or unfolds to many times its size")
        for name, value in part.state.items():
            if isinstance(value, Tensor):
                yield f"{path}{name}", value
            elif isinstance(value, StubObject):
                parts.append((f"{path}{name}.", value))


def _read(entries: ArchiveReader, path: Path) -> Script:
    if "constants.pkl" not in entries.names or "data.pkl" not in entries.names:
        raise BadFile(
            f"{path}: holds no TorchScript; a state dict is opened with torch:package.module:callable?weights=FILE"
        )
    if entries.names.get("byteorder") and entries.read("byteorder") != b"little":
        raise BadFile(f"{path}: its numbers are big-endian; save it again on a little-endian machine")
    classes = {}
    for name in entries.names:
        if not (name.startswith("code/") and name.endswith(".py")):
            continue
        module = name.removeprefix("code/").removesuffix(".py").replace("/", ".")
        for found in ast.parse(entries.read(name)).body:
            if isinstance(found, ast.ClassDef):
                methods = {each.name: each for each in found.body if isinstance(each, ast.FunctionDef)}
                classes[f"{module}.{found.name}"] = methods
    root, constants = _Objects(entries, "data", ALLOWED).read(), _Objects(entries, "constants", ALLOWED).read()
    if not isinstance(root, StubObject) or not all(isinstance(each, Tensor) for each in constants):
        raise BadFile(f"{path}: holds more than modules and tensors")
    check_finite(dict(tensors_in(root)), str(path))
    return Script(root, classes, list(constants), _input_shape(entries))


def _input_shape(entries: ArchiveReader) -> tuple[int, ...] | None:
    """Return the shape that the one input had when the network was traced; its numbers are not kept."""
    if "traced_inputs.pkl" not in entries.names:
        return None
    shapes = {
        **ALLOWED,
        "torch._utils._rebuild_tensor_v2": Function(lambda _storage, _offset, size, *_: size),
        "torch.jit._pickle.restore_type_tag": Function(lambda value, _type: value),
    }
    inputs = _Objects(entries, "traced_inputs", shapes, empty=True).read().get("forward", ())
    return inputs[0] if len(inputs) == 1 and isinstance(inputs[0], tuple) else None


class _Objects(ArchivedPickle):
    """The pickles of TorchScript: objects with a state, and tensors whose numbers are in separate files."""

    def build(self) -> None:
        """Give an object its state."""
        target, state = self.pop(2)
        if not isinstance(target, StubObject) or not isinstance(state, dict):
            raise Refused("an object keeps a state of its own, which only its code can read; trace the network anew")
        target.state.update(state)
        self._stack.append(target)

    def _find(self, module: Any, name: Any) -> Any:
        if isinstance(module, str) and (module + ".").startswith("__torch__."):
            return Function(partial(_new_object, f"{module}.{name}"))
        return super()._find(module, name)


def _new_object(kind: str) -> StubObject:
    return StubObject(kind, {})
