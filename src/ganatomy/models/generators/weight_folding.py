"""Ablations made permanent: the weights that make a unit are set to zero, or else those that read it.

A unit whose own weights and bias are zero is zero, also after functions that keep zero (ReLU, upsampling), and the
input of the rest of the network is that under the ablation, whatever normalisations follow. So that is tried first.
Where the weights precede something that mixes units (a normalisation within the layer, a residual sum), the next
layer's weights for the unit are set to zero; that is right only if nothing else reads the unit.

Which weights these are is found in the autograd graph of one forward pass, so it does not matter how a network is
written. The graph only suggests; a suggestion is kept only if it draws the same images.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn

from ganatomy.core.errors import BadModel
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.core.tensor_types import Features, Images, Latents, PerUnit
from ganatomy.interventions import Intervention
from ganatomy.models.generators.hooked import evaluating
from ganatomy.models.generators.hooks import hooked
from ganatomy.models.generators.nested_tensors import feature_map, tensors
from ganatomy.models.generators.protocol import Generator
from ganatomy.models.weights import State

LATENTS = 16
"""Images that must stay the same."""
BATCH = 4
"""Of these at once."""
TOLERANCE = 2e-6
"""How far a pixel of [-1, 1] may differ: a millionth of the range. Where values are larger, of theirs."""
TRIED = 16
"""Suggestions that are tried for a layer: rows and columns of a square matrix cannot be distinguished."""

Node: TypeAlias = Any
"""A step of the autograd graph: grad_fn."""


@runtime_checkable
class ModuleGenerator(Generator, Protocol):
    """A generator that is one torch module, whose layers are submodules."""

    network: nn.Module

    def network_input(self, z: Latents) -> Tensor:
        """Return the input of the module for latents."""
        ...


class Folded(NamedTuple):
    """The weights of a network in which edits are permanent, and in a few words which of them changed."""

    state: State
    how: str


class Weight(NamedTuple):
    """A tensor, along one of whose axes the units of a layer lie, each as one row or as several side by side."""

    tensor: Tensor
    axis: int

    def scale(self, share: PerUnit) -> None:
        """Multiply the rows of every unit."""
        across = [1] * self.tensor.ndim
        across[self.axis] = -1
        rows = share.repeat_interleave(self.tensor.shape[self.axis] // len(share))
        self.tensor.data.mul_(rows.to(self.tensor).view(across))


def fold(generator: Generator, edits: Sequence[Intervention]) -> Folded:
    """Return the weights of a generator that draws what this one draws with the edits.

    Every layer's edits must switch units off, or weaken them, everywhere. The generator is as it was afterwards.

    Raises:
        BadModel: the edits cannot be folded into weights; says of the first layer why.

    >>> from ganatomy.models.generators.progan import ProGAN, progan_network
    >>> generator = ProGAN(progan_network(8, [8, 8, 4, 4]))
    >>> folded = fold(generator, [Intervention.ablate("layer3", generator.layers["layer3"], [2])])
    >>> folded.how
    'layer3: layer3.conv.weight and layer3.wscale.b, which make its units'
    >>> bool(folded.state["layer3.conv.weight"][2].any())
    False
    """
    shares = kept_shares(edits)
    if not isinstance(generator, ModuleGenerator):
        raise BadModel(f"a {type(generator).__name__} is not one torch module")
    network, z = generator.network, generator.latents(range(LATENTS), 0)
    if others := shares.keys() - set(generator.layers):
        raise BadModel(f"{min(others)} is what a module adds to its input, which no weights make")
    layers = [layer for layer in generator.layers if layer in shares]
    goals = [
        _observed(generator, z, layer, [edit for edit in edits if edit.layer in layers[: i + 1]])
        for i, layer in enumerate(layers)
    ]
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    done = []
    try:
        for layer, goal in zip(layers, goals, strict=True):
            weights, what = _fold_layer(generator, layer, shares[layer], z, goal)
            changed = [name for name, each in network.named_parameters() if any(each is w.tensor for w in weights)]
            done.append(f"{layer}: {' and '.join(changed)}, {what}")
        state = {
            name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, value in network.state_dict().items()
            if isinstance(value, Tensor)
        }
    finally:
        for name, weight in network.named_parameters():
            weight.data.copy_(before[name])
    return Folded(state, "; ".join(done))


def kept_shares(edits: Sequence[Intervention]) -> Mapping[str, PerUnit]:
    """Return by layer the share of each unit that edits leave, 0 where it is switched off.

    Raises:
        BadModel: an edit does something else than to switch units off, or weaken them, everywhere.
    """
    shares: dict[str, Tensor] = {}
    for step in (step for edit in edits for step in edit.strokes()):
        if not bool((step.where == 1).all()):
            raise BadModel(f"the edit of {step.layer} is of some places only, and weights are the same everywhere")
        if bool((step.alpha * step.value).any()):
            raise BadModel(f"the edit of {step.layer} sets units to values; only ablations are folded into weights")
        shares[step.layer] = shares.get(step.layer, torch.ones_like(step.alpha)) * (1 - step.alpha)
    return shares


def _observed(generator: Generator, z: Latents, layer: str, edits: Sequence[Intervention]) -> tuple[Images, Features]:
    """Return the images of edits, and the features of a layer."""
    seen = [generator.observe(part, [layer], edits) for part in torch.split(z, BATCH)]
    return torch.cat([each.images for each in seen]), torch.cat([each.features[layer] for each in seen])


def alike(found: Tensor, expected: Tensor) -> bool:
    """Return whether numbers differ by a millionth of their range at most, [-1, 1] or what they reach beyond."""
    reach = max(1.0, float(expected.abs().max()))
    return float((found - expected).abs().max()) <= TOLERANCE * reach  # NaN is not


def _fold_layer(
    generator: ModuleGenerator, layer: str, share: PerUnit, z: Latents, goal: tuple[Images, Features]
) -> tuple[Sequence[Weight], str]:
    """Scale the weights that make the units of a layer, or else those that read them; return which."""
    graph = _Graph(generator, layer, z[:1])
    reasons = []
    for suggest, what, count in ((graph.makers, "which make its units", 2), (graph.readers, "which read its units", 1)):
        try:
            suggested = suggest(len(share))
        except BadModel as error:
            reasons.append(str(error))
            continue
        for weights in itertools.islice(itertools.product(*suggested), TRIED):
            before = [weight.tensor.detach().clone() for weight in weights]
            for weight in weights:
                weight.scale(share)
            if all(map(alike, _observed(generator, z, layer, ())[:count], goal)):
                return weights, what
            for weight, old in zip(weights, before, strict=True):
                weight.tensor.data.copy_(old)
        reasons.append(f"without the weights {what} it draws other images")
    raise BadModel(f"{layer}: {'; '.join(reasons)}")


class _Graph:
    """The autograd graph of a network: from the images back to the weights and the latents."""

    def __init__(self, generator: ModuleGenerator, layer: str, z: Latents) -> None:
        nodes: list[Node] = []

        def record(name: str, output: Any, _inputs: Any) -> None:
            if name == layer:
                nodes.append(feature_map(output).grad_fn)

        network = generator.network
        with torch.enable_grad(), evaluating(network, learning=True), foreign_errors("following its weights"):
            start = z.detach().clone().requires_grad_()
            with hooked(network, [layer.partition("#")[0]], record):
                images = network(generator.network_input(start * 1))  # it could not write into the leaf itself
            nodes += [each.grad_fn for each in tensors(images)]
        self._layer = nodes[0]
        self._order = _post_order([node for node in nodes if node is not None])
        self._moving = {node for node in self._order if getattr(node, "variable", None) is start}
        for node in self._order:
            if any(child in self._moving for child in _children(node)):
                self._moving.add(node)
        self._read = {node: list(self._leaves(node)) for node in self._moving}
        if self._layer not in self._moving:
            raise BadModel(f"{layer}: autograd does not follow its units to the latents")

    def makers(self, units: int) -> list[list[Weight]]:
        """Return the weights that make the units of the layer: of each that must be scaled, the candidates."""
        node, found = self._layer, list[list[Weight]]()
        while True:
            moving, weights = self._split(node, units)
            found += weights
            if (weights and not re.match(r"(Add|Sub)Backward", node.name())) or not moving:
                break
            if len(moving) > 1:
                raise BadModel(f"its units come of {_described(node)}")
            (node,) = moving
        if not found:
            raise BadModel("its units are made without weights of their own")
        return self._used_once(found)

    def readers(self, units: int) -> list[list[Weight]]:
        """Return the weights that read the units of the layer, as `makers` does."""
        users: dict[Node, list[Node]] = {}
        for node in self._order:
            for child in _children(node):
                users.setdefault(child, []).append(node)
        reached, found = [self._layer], list[list[Weight]]()
        for node in reached:
            for user in users.get(node, []):
                moving, weights = self._split(user, units)
                if user.name().startswith("Convolution") and moving == [node] and weights:
                    found.append(sorted(weights[0], key=lambda weight: weight.axis != 1))  # what may be rows or columns
                elif moving == [node] and not self._read[user]:
                    reached.append(user)
                else:
                    raise BadModel(f"they are read by {_described(user)}")
        if not found:
            raise BadModel("no weights read them")
        return self._used_once(found)

    def _split(self, node: Node, units: int) -> tuple[list[Node], list[list[Weight]]]:
        """Return the steps before a step, and for each other argument the weights in it with rows of the units."""
        found = []
        for leaves in self._read[node]:
            axes = [(leaf, axis, size) for leaf in leaves for axis, size in enumerate(leaf.shape)]
            found.append([Weight(leaf, axis) for leaf, axis, size in axes if size and size % units == 0])
        return [child for child in _children(node) if child in self._moving], [choice for choice in found if choice]

    def _leaves(self, node: Node) -> Iterator[list[Tensor]]:
        """Yield the weights in each argument of a step that does not depend on the latents."""
        for child in _children(node):
            if child not in self._moving:
                below = [each.variable for each in _post_order([child]) if hasattr(each, "variable")]
                if below:
                    yield below

    def _used_once(self, found: list[list[Weight]]) -> list[list[Weight]]:
        """Return weights."""
        for weight in (weight for choice in found for weight in choice):
            uses = sum(any(weight.tensor is leaf for leaf in itertools.chain(*read)) for read in self._read.values())
            if uses > 1:
                raise BadModel(f"the weights are used in {uses} places")
        return found


def _children(node: Node) -> list[Node]:
    return [child for child, _ in node.next_functions if child is not None]


def _post_order(roots: Sequence[Node]) -> list[Node]:
    """Return these steps and all before them, in order of computation; without recursion, as networks are deep."""
    order: dict[Node, None] = {}
    seen, stack = set[Node](), [(root, False) for root in roots]
    while stack:
        node, done = stack.pop()
        if done:
            order[node] = None
        elif node not in seen:
            seen.add(node)
            stack += [(node, True), *((child, False) for child in _children(node))]
    return list(order)


DESCRIPTIONS = {
    "Add|Sub": "a sum of branches, such as a residual",
    "Cat|Stack": "several branches side by side",
    "NativeGroupNorm|NativeLayerNorm": "a normalisation over units",
    "NativeBatchNorm|CudnnBatchNorm": "a batch or instance normalisation",
    "Mul|Div|Pow": "a product of what depends on the image, such as a normalisation over units",
}


def _described(node: Node) -> str:
    name = re.sub(r"Backward\d*$", "", node.name())
    return next((text for kinds, text in DESCRIPTIONS.items() if name in kinds.split("|")), f"the step {name}")
