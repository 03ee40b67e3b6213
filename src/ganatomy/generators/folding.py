"""Ablations made permanent: the weights that make a unit are set to zero, or else those that read it.

A unit whose own weights and bias are zero is zero, also after functions that keep zero (ReLU, upsampling), and the
rest of the network sees what it sees under the ablation, whatever normalisations follow. So that is tried first. Where
the weights lie behind something that mixes units (a normalisation within the layer, a residual sum), the next layer's
weights for the unit are set to zero; that is right only if nothing else looks at the unit.

Which weights these are is read off the graph that autograd notes of one forward pass, so it does not matter how a
network is written. The graph only suggests; whatever it suggests is kept only if it draws the same images.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn

from ganatomy.edit import Intervention
from ganatomy.errors import BadModel
from ganatomy.generators.hooked import in_use, listening
from ganatomy.generators.protocol import Generator
from ganatomy.generators.replay import feature_map
from ganatomy.generators.structures import tensors
from ganatomy.imported import guarded
from ganatomy.types import Features, Images, Latents, PerUnit
from ganatomy.weights import State

LATENTS = 16
"""Images that must stay the same."""
BATCH = 4
"""Of these at once."""
TOLERANCE = 2e-6
"""How far a pixel of [-1, 1] may differ: a millionth of the range. Where values are larger, of theirs."""
TRIED = 16
"""Suggestions that are tried for a layer: a square matrix does not tell its rows from its columns."""

Node: TypeAlias = Any
"""A step of autograd's graph: grad_fn."""


@runtime_checkable
class Networked(Generator, Protocol):
    """A generator that is one torch module, whose layers are submodules."""

    network: nn.Module

    def given(self, z: Latents) -> Tensor:
        """Return what the module is given for latents."""
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
    """Return the weights of a generator that draws what this one draws with the edits made.

    Every layer's edits must switch units off, or weaken them, everywhere. The generator is as it was afterwards.

    Raises:
        BadModel: the edits cannot be folded into weights; says of the first layer why.

    >>> from ganatomy.generators.progan import ProGAN, progan_network
    >>> generator = ProGAN(progan_network(8, [8, 8, 4, 4]))
    >>> folded = fold(generator, [Intervention.ablate("layer3", generator.layers["layer3"], [2])])
    >>> folded.how
    'layer3: layer3.conv.weight and layer3.wscale.b, which make its units'
    >>> bool(folded.state["layer3.conv.weight"][2].any())
    False
    """
    shares = kept_shares(edits)
    if not isinstance(generator, Networked):
        raise BadModel(f"a {type(generator).__name__} is not one torch module")
    network, z = generator.network, generator.latents(range(LATENTS), 0)
    layers = [layer for layer in generator.layers if layer in shares]
    goals = [
        _shown(generator, z, layer, [edit for edit in edits if edit.layer in layers[: i + 1]])
        for i, layer in enumerate(layers)
    ]
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    done = []
    try:
        for layer, goal in zip(layers, goals, strict=True):
            weights, what = _fold_layer(generator, layer, shares[layer], goal)
            changed = [name for name, each in network.named_parameters() if any(each is w.tensor for w in weights)]
            done.append(f"{layer}: {' and '.join(changed)}, {what}")
        state = {name: _copy(value) for name, value in network.state_dict().items() if isinstance(value, Tensor)}
    finally:
        for name, weight in network.named_parameters():
            weight.data.copy_(before[name])
    return Folded(state, "; ".join(done))


def kept_shares(edits: Sequence[Intervention]) -> Mapping[str, PerUnit]:
    """Return by layer what share of each unit edits leave, 0 where it is switched off.

    Raises:
        BadModel: an edit does something else than to switch units off, or weaken them, everywhere.
    """
    shares: dict[str, Tensor] = {}
    for stroke in (stroke for edit in edits for stroke in edit.strokes()):
        if not bool((stroke.where == 1).all()):
            raise BadModel(f"the edit of {stroke.layer} is of some places only, and weights are the same everywhere")
        if bool((stroke.alpha * stroke.value).any()):
            raise BadModel(f"the edit of {stroke.layer} sets units to values; only ablations are folded into weights")
        shares[stroke.layer] = shares.get(stroke.layer, torch.ones_like(stroke.alpha)) * (1 - stroke.alpha)
    return shares


def _copy(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


class _Goal(NamedTuple):
    """What a folded network must show: images, and the last of the layers whose edits are folded."""

    z: Latents
    images: Images
    features: Features

    def is_reached(self, generator: Generator, layer: str, *, own: bool) -> bool:
        """Say whether the generator draws these images; and, if its own weights changed, whether the layer agrees."""
        found = _shown(generator, self.z, layer, ())
        return alike(found.images, self.images) and (not own or alike(found.features, self.features))


def _shown(generator: Generator, z: Latents, layer: str, edits: Sequence[Intervention]) -> _Goal:
    seen = [generator.observe(part, [layer], edits) for part in torch.split(z, BATCH)]
    return _Goal(z, torch.cat([each.images for each in seen]), torch.cat([each.features[layer] for each in seen]))


def alike(found: Tensor, expected: Tensor) -> bool:
    """Say whether numbers differ by a millionth of their range at most, [-1, 1] or what they reach beyond."""
    reach = max(1.0, float(expected.abs().max()))
    return float((found - expected).abs().max()) <= TOLERANCE * reach  # NaN is not


def _fold_layer(generator: Networked, layer: str, share: PerUnit, goal: _Goal) -> tuple[Sequence[Weight], str]:
    """Scale the weights that make the units of a layer, or else those that read them; return which.

    Raises:
        BadModel: neither gives the same images.
    """
    graph = _Graph(generator, layer, goal.z[:1])
    reasons = []
    for suggest, what in ((graph.makers, "which make its units"), (graph.readers, "which read its units")):
        try:
            suggested = suggest(len(share))
        except BadModel as error:
            reasons.append(str(error))
            continue
        for weights in itertools.islice(itertools.product(*suggested), TRIED):
            before = [weight.tensor.detach().clone() for weight in weights]
            for weight in weights:
                weight.scale(share)
            if goal.is_reached(generator, layer, own=suggest == graph.makers):
                return weights, what
            for weight, old in zip(weights, before, strict=True):
                weight.tensor.data.copy_(old)
        reasons.append(f"without the weights {what} it draws other images")
    raise BadModel(f"{layer}: {'; '.join(reasons)}")


class _Graph:
    """What a network computes, as autograd notes it: from the images back to the weights and the latents."""

    def __init__(self, generator: Networked, layer: str, z: Latents) -> None:
        nodes: list[Node] = []

        def note(name: str, output: Any, _given: Any) -> None:
            if name == layer:
                nodes.append(feature_map(output).grad_fn)

        network = generator.network
        with torch.enable_grad(), in_use(network, learning=True), guarded("following its weights"):
            start = z.detach().clone().requires_grad_()
            with listening(network, [layer.partition("#")[0]], note):
                images = network(generator.given(start * 1))  # not the leaf itself, which it could not write into
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
        """Return the weights that make the units of the layer: for each that must be scaled, what it may be.

        Raises:
            BadModel: units come of several branches, or of no weights; or the weights are used elsewhere, too.
        """
        node, found = self._layer, list[list[Weight]]()
        while True:
            moving, weights = self._split(node, units)
            found += weights
            if (weights and not _adds(node)) or not moving:
                break
            if len(moving) > 1:
                raise BadModel(f"its units come of {_words(node)}")
            (node,) = moving
        if not found:
            raise BadModel("its units are made without weights of their own")
        return self._used_once(found)

    def readers(self, units: int) -> list[list[Weight]]:
        """Return the weights that read the units of the layer, as `makers` does.

        Raises:
            BadModel: something else than a convolution reads them; or the weights are used elsewhere, too.
        """
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
                    raise BadModel(f"they are read by {_words(user)}")
        if not found:
            raise BadModel("no weights read them")
        return self._used_once(found)

    def _split(self, node: Node, units: int) -> tuple[list[Node], list[list[Weight]]]:
        """Return the steps before it, and for each other argument the weights in it that have so many rows."""
        found = [
            [
                Weight(leaf, axis)
                for leaf in leaves
                for axis, size in enumerate(leaf.shape)
                if size and size % units == 0
            ]
            for leaves in self._read[node]
        ]
        return [child for child in _children(node) if child in self._moving], [choice for choice in found if choice]

    def _leaves(self, node: Node) -> Iterator[list[Tensor]]:
        """Yield for each argument of a step that does not depend on the latents the weights that it is made of."""
        for child in _children(node):
            if child not in self._moving:
                below = [each.variable for each in _post_order([child]) if hasattr(each, "variable")]
                if below:
                    yield below

    def _used_once(self, found: list[list[Weight]]) -> list[list[Weight]]:
        """Return them, if no other step has any use for them.

        Raises:
            BadModel: one has.
        """
        for weight in (weight for choice in found for weight in choice):
            uses = sum(any(weight.tensor is leaf for leaf in itertools.chain(*read)) for read in self._read.values())
            if uses > 1:
                raise BadModel(f"the weights are used in {uses} places")
        return found


def _children(node: Node) -> list[Node]:
    return [child for child, _ in node.next_functions if child is not None]


def _post_order(roots: Sequence[Node]) -> list[Node]:
    """Return these steps and all before them, each after those before it; not by recursion: networks are deep."""
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


def _adds(node: Node) -> bool:
    return re.match(r"(Add|Sub)Backward", node.name()) is not None


WORDS = {
    "Add|Sub": "a sum of branches, such as a residual",
    "Cat|Stack": "several branches side by side",
    "NativeGroupNorm|NativeLayerNorm": "a normalisation over units",
    "NativeBatchNorm|CudnnBatchNorm": "a batch or instance normalisation",
    "Mul|Div|Pow": "a product of what depends on the image, such as a normalisation over units",
}


def _words(node: Node) -> str:
    """Return what a step of autograd's graph is, for messages."""
    name = re.sub(r"Backward\d*$", "", node.name())
    return next((words for kinds, words in WORDS.items() if name in kinds.split("|")), f"the step {name}")
