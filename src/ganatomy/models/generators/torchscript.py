"""Networks that ``torch.jit.trace`` recorded, as generators: their source is read as data and interpreted here.

A trace is straight-line: each module calls PyTorch's operators and the modules in it, one after the other. So the
modules are those of the network, with its layers, and hooks work. Everything else is refused by name.
"""

import ast
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadFile
from ganatomy.core.fingerprint import fingerprint
from ganatomy.models.generators.exported import is_sound, program_generator
from ganatomy.models.generators.hooked import HookedGenerator
from ganatomy.models.generators.module import find_latent, numbers_in
from ganatomy.models.generators.registry import GENERATORS
from ganatomy.models.weights import StubObject
from ganatomy.models.weights.torchscript import Script, read_script, tensors_in

HINT = "save torch.jit.trace(net.eval(), z), z being two latents or more"

CALLS: Mapping[str, Callable[..., Any]] = {
    "int": int,
    "float": float,
    "bool": bool,
    "getattr": lambda part, name: part._member(name),
    "ops.prim.NumToTensor": torch.tensor,
    "ops.prim.device": lambda tensor: tensor.device,
    "ops.prim.dtype": lambda tensor: tensor.dtype,
}
"""Functions of a trace besides operators and modules."""
NUMBERS = ("number", "int", "float", "bool")


class TracedModule(nn.Module):
    """A module of a trace: its tensors and modules under their names, and its methods, run statement by statement.

    Its methods are ``forward``, and ``forward1`` and so on where a module is called more than once.

    Raises:
        BadFile: control flow, or a call that is not allowed.
    """

    def __init__(self, methods: Mapping[str, ast.FunctionDef], constants: list[Tensor], source: str) -> None:
        super().__init__()
        self._methods, self._members = methods, dict[str, Any]()
        single = {i: constant for i, constant in enumerate(constants) if constant.ndim == 0}
        self._numbers = {f"c{i}": constant.item() for i, constant in single.items()}
        for i, constant in enumerate(constants):
            self.register_buffer(f"constant {i}", constant, persistent=False)
        self.register_buffer("_place", torch.empty(0, dtype=torch.uint8), persistent=False)  # knows the device
        for method in methods.values():
            for statement in method.body:
                _check_statement(statement, f"{source}: {method.name}, line {statement.lineno},")

    def _put(self, name: str, value: Any) -> None:
        """Add a tensor, a module or a plain value."""
        own = f"{name}_" if hasattr(self, name) else name  # every module has a method half
        if isinstance(value, TracedModule):
            self.add_module(own, value)
        elif isinstance(value, Tensor) and value.is_floating_point():
            self.register_parameter(own, nn.Parameter(value, requires_grad=False))
        elif isinstance(value, Tensor):
            self.register_buffer(own, value)
        self._members[name] = own if isinstance(value, nn.Module | Tensor) else (value,)

    def _member(self, name: str) -> Any:
        """Return the member of that name in the trace."""
        own = self._members[name]
        return getattr(self, own) if isinstance(own, str) else own[0]

    def _number(self, node: ast.expr, value: Any) -> Any:
        """Return the number of a constant that is one, else the value."""
        match node:
            case ast.Attribute(value=ast.Name(id="CONSTANTS"), attr=name):
                return self._numbers.get(name, value)
        return value

    def _text(self) -> str:
        """Return the source of its methods, without classes, which PyTorch numbers by what else it has traced."""
        return "\n".join(ast.unparse(line) for _, each in sorted(self._methods.items()) for line in each.body)

    def forward(self, *given: Any, method: str = "forward") -> Any:
        """Run a method."""
        code = self._methods[method]
        known: dict[str, Any] = dict(zip((each.arg for each in code.args.args), (self, *given), strict=True))
        for statement in code.body:
            match statement:
                case ast.Return(value=ast.expr() as value):
                    return _value(value, known, self)
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    known[name] = _value(value, known, self)
                case ast.Assign(targets=[ast.Tuple(elts=names)], value=value):
                    found = _value(value, known, self)
                    known.update(zip((ast.unparse(each) for each in names), found, strict=True))
        return None


def _value(node: ast.expr, known: Mapping[str, Any], part: TracedModule) -> Any:
    """Evaluate an expression of a method."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return known[name]
        case ast.List(elts=each):
            return [_value(one, known, part) for one in each]
        case ast.Tuple(elts=each):
            return tuple(_value(one, known, part) for one in each)
        case ast.UnaryOp(operand=operand):
            return -_value(operand, known, part)
        case ast.Subscript(value=value, slice=at):
            return _value(value, known, part)[_value(at, known, part)]
        case ast.Attribute(value=ast.Name(id="CONSTANTS"), attr=name):
            return part.get_buffer(f"constant {int(name.removeprefix('c'))}")
        case ast.Attribute(value=value, attr=name):
            return _value(value, known, part)._member(name)
        case ast.Call():
            return _call(node, known, part)
    raise TypeError(ast.unparse(node))


def _call(node: ast.Call, known: Mapping[str, Any], part: TracedModule) -> Any:
    """Call an operator or a module; tensors that the trace creates are on the device of its weights."""
    called = ast.unparse(node.func)
    if called == "torch.device":
        return part._place.device
    if called == "annotate":  # number: sizes, which a trace computes as tensors
        value = _value(node.args[1], known, part)
        return value.item() if isinstance(value, Tensor) and ast.unparse(node.args[0]) in NUMBERS else value
    given = [_value(each, known, part) for each in node.args]
    if called in CALLS:
        return CALLS[called](*given)
    if called.startswith("torch."):
        options = {str(each.arg): _value(each.value, known, part) for each in node.keywords}
        if "device" in options:
            options["device"] = part._place.device
        operator = getattr(torch.ops.aten, called.removeprefix("torch."))
        numbers = [part._number(arg, value) for arg, value in zip(node.args, given, strict=True)]
        return _operate(operator, given, numbers, options)
    assert isinstance(node.func, ast.Attribute)  # so it was checked
    return _value(node.func.value, known, part)(*given, method=node.func.attr)


def _operate(operator: Callable[..., Any], given: list[Any], numbers: list[Any], options: dict[str, Any]) -> Any:
    """Call an operator with constants as numbers, which keep the format of tensors; where it takes none, as tensors."""
    if all(number is each for number, each in zip(numbers, given, strict=True)):
        return operator(*given, **options)
    try:
        return operator(*numbers, **options)
    except RuntimeError:
        return operator(*given, **options)


def _check_statement(statement: ast.stmt, where: str) -> None:
    match statement:
        case ast.Assign(targets=[ast.Name()], value=value) | ast.Return(value=ast.expr() as value):
            _check(value, where)
        case ast.Assign(targets=[ast.Tuple(elts=names)], value=value) if all(isinstance(n, ast.Name) for n in names):
            _check(value, where)
        case _:
            raise BadFile(f"{where} is no step of a trace ({type(statement).__name__}); {HINT}")


def _check(node: ast.expr, where: str) -> None:
    """Refuse an expression that no trace needs, or a call that is not allowed, or names files."""
    match node:
        case ast.Constant() | ast.Name():
            return
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            pass
        case ast.UnaryOp(op=ast.USub(), operand=part) | ast.Attribute(value=part):
            parts = [part]
        case ast.Subscript(value=part, slice=at):
            parts = [part, at]
        case ast.Call(func=func, args=args, keywords=options):
            called = ast.unparse(func)
            if called in ("torch.device", "annotate"):
                parts = args[1:]
            else:
                parts = args + [each.value for each in options]
                if not (called in CALLS or _is_operator(called) or _is_method(func)):
                    raise BadFile(f"{where} calls {called}, which is not run; {HINT}")
                parts += [func.value] if _is_method(func) and isinstance(func, ast.Attribute) else []
        case _:
            raise BadFile(f"{where} is no step of a trace ({type(node).__name__}); {HINT}")
    for each in parts:
        _check(each, where)


def _is_method(func: ast.expr) -> bool:
    return isinstance(func, ast.Attribute) and re.fullmatch(r"forward\d*", func.attr) is not None


def _is_operator(called: str) -> bool:
    """Return whether this is one of PyTorch's own operators on tensors and numbers, none of which names files."""
    match = re.fullmatch(r"torch\.(_?[a-z]\w*)", called)
    packet = getattr(torch.ops.aten, match[1], None) if match and is_sound(match[1]) else None
    if not isinstance(packet, torch._ops.OpOverloadPacket):
        return False
    schemas = [getattr(packet, name)._schema for name in packet._overload_names]
    return not any(argument.name == "filename" for schema in schemas for argument in schema.arguments)


@GENERATORS.register("torchscript", data=True, fixed="its weights are part of a program, which is not rewritten")
def open_torchscript(
    path: str,
    /,
    *,
    device: torch.device,
    latent: str | None = None,
    bounds: str | None = None,
    layers: str | None = None,
) -> HookedGenerator:
    """Open a network that ``torch.jit.trace`` recorded and ``torch.jit.save`` wrote. Latents are N(0, 1).

    Its layers are the submodules of the network that was traced, by their paths, as for any torch module.

    Args:
        path: the ``.pt`` file.
        latent: the shape of one latent, ``128`` or ``100x1x1``; else that with which it was traced.
        bounds: the values that mean black and white, ``0..1``; else they are found.
        layers: the layers to offer, ``a,b``; else all.

    Raises:
        BadFile: no such file, or one that does more than call PyTorch's own operators on tensors.
        BadModel: it is no generator, or draws batches of one size only.
        BadValue: an option cannot be read.
    """
    script = read_script(Path(path))
    try:
        network = build_modules(script, path)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise BadFile(f"{path}: its modules are damaged ({error!r})") from error
    network.to(device)
    shape = None if latent is None else numbers_in("latent", latent, "x", int)
    shape = shape or (script.input or ())[1:] or find_latent(network, path)
    generator = program_generator(network, shape, path, (bounds, layers), HINT)
    constants = {f"constant {i}": constant for i, constant in enumerate(script.constants)}
    state = dict(tensors_in(script.root)) | constants
    texts = [(name, part._text()) for name, part in network.named_modules() if isinstance(part, TracedModule)]
    generator.fingerprint = fingerprint(state, "torchscript", texts, shape, bounds)
    return generator


def build_modules(script: Script, source: str) -> TracedModule:
    """Return the modules of a script, each once however often it is held."""
    made: dict[int, TracedModule] = {}

    def part(of: StubObject) -> TracedModule:
        if id(of) not in made:
            made[id(of)] = TracedModule(script.classes[of.kind], script.constants, source)
            for name, value in of.state.items():
                made[id(of)]._put(name, part(value) if isinstance(value, StubObject) else value)
        return made[id(of)]

    return part(script.root)
