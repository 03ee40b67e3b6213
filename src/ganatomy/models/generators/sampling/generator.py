"""A model that samples in steps as a generator: its layers are those of its network at every step, ``block@step``."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from ganatomy.core.errors import BadModel, BadValue, UnknownName
from ganatomy.core.foreign_code import foreign_errors
from ganatomy.core.layer_steps import at_step, split_layer
from ganatomy.core.tensor_types import Features, Images, Latents
from ganatomy.models.generators.batches import Hook, check_alone
from ganatomy.models.generators.hooked import evaluating
from ganatomy.models.generators.hooks import (
    ONE,
    Halves,
    LayerHook,
    LayerPlan,
    MapForm,
    check_update,
    hooked,
    readable,
)
from ganatomy.models.generators.latents import standard_normal
from ganatomy.models.generators.protocol import (
    Edit,
    Layers,
    LayerShape,
    Observation,
    edits_by_layer,
    forward_order,
    onward_edits,
)
from ganatomy.models.generators.sampling.kept_states import KeptStates, unique_rows
from ganatomy.models.generators.sampling.listing import few_blocks, grid_of, spread
from ganatomy.models.generators.sampling.prompts import noise_in_pairs, pair_order
from ganatomy.models.generators.sampling.protocol import Sampler, State
from ganatomy.models.generators.survey import GridOf, Survey
from ganatomy.models.generators.word_maps import SUFFIX
from ganatomy.models.wrapped import check_numbers, check_readable, device_of, uncompiled, weights_fingerprint

HALVES = {"cond": Halves(2, 1, (1,)), "uncond": Halves(2, 0, (0,)), "both": Halves(2, 1, (0, 1))}
"""Rows of a call under guidance; for ``both``, features are those with the prompt, and edits are done to each half."""
SHOWS = ("final", "estimate")


class SampledGenerator:
    """A generator that makes images from noise in steps, by calls of one network.

    Its layers are the submodules of the network that return a feature map, as in `HookedGenerator`, each at every step:
    ``up1@3`` is what ``up1`` returns at the third call. Tokens [b, places, units] are a feature map where the places
    are a grid that the noise, made smaller, has, or where the sampler says so. One call of the network is surveyed, at
    the first step; the others must return maps of the same shapes.

    An edit at a step costs the calls from there on: the states between the steps of the last batches are kept, and
    gone on with to the same bits. `render` keeps gradients through all steps after the layer; each is computed twice.

    A latent is the noise of the image and the number of its prompt among the sampler's, [b, prod(shape) + 1].

    Args:
        sampler: the model.
        steps: those that are listed, from 1; else a few, spread evenly.
        show: ``final``, or ``estimate``, the estimate after the last of these steps, where drawing then ends.
        half: which rows of a call under guidance are read and edited, see `HALVES`.
        blocks: the submodules to offer; else all.
        listed: those of them that are meant where no layers are named; else `blocks`, or a few of all: `few_blocks`.
        name: of the model in messages.
        pairs: whether images come in pairs of one noise, whose prompts are the sampler's first and second, third and
            fourth …, see `pair_order`.

    Attributes:
        layers: shape of every block at every step, in the order in which they are computed, and of its update by name.
        blocks: shape of every block.
        listed: the layers that are meant where none are named: some blocks at `steps`.
        others: the submodules that are no layers, each with the reason.
        prompts: image i has prompt ``i % len(prompts)``; in pairs they stand in the order of the images.
        pairs: whether images i and i + 2 share their noise, for i = 0, 1, 4, 5, 8 …
        steps: those that are listed.
        last: the step that drawing ends with.

    Raises:
        BadModel: the network raises, draws by chance, or has no layer; or the sampler returns no images.
        BadValue: no such step, half or way to show; prompts that are no pairs.
        UnknownName: no such block.
    """

    def __init__(
        self,
        sampler: Sampler,
        steps: Sequence[int] = (),
        show: str = "final",
        half: str = "cond",
        blocks: Sequence[str] = (),
        name: str = "sampler",
        listed: Sequence[str] = (),
        pairs: bool = False,
    ) -> None:
        check_readable(sampler.network, name)
        check_numbers(sampler.network, name)
        self.sampler, self.network, self._name, self._show = sampler, sampler.network, name, show
        self.device, self.pairs = device_of(sampler.network), pairs
        self._order = pair_order(sampler.prompts) if pairs else range(len(sampler.prompts))
        self.prompts = tuple(sampler.prompts[number] for number in self._order)
        self._halves = _halves(sampler, half, name)
        self.steps = _steps(sampler, steps, show, name)
        self.last = self.steps[-1] if show == "estimate" else sampler.steps
        self._kept, self._forms = KeptStates(self.last), dict[str, MapForm]()
        survey, self._image = self._probe()
        self.others: Mapping[str, str] = survey.others
        self.blocks: Mapping[str, LayerShape] = survey.layers
        self._forms, updates = dict(survey.forms), survey.updates
        known = Layers(self.blocks, updates)
        for block in blocks:
            check_update(block, name, known, self.others)
            if block in self.others:
                raise BadModel(f"{block} of {name} {self.others[block]}")
            if block not in known:
                raise UnknownName(f"block of {name}", block, self.blocks)
        if blocks:
            self.blocks = {block: known[block] for block in sorted(set(blocks), key=forward_order(known))}
            updates = {}
        steps = range(1, self.last + 1)
        self._updates = updates
        self.layers: Mapping[str, LayerShape] = Layers(_at(steps, self.blocks), _at(steps, updates))
        few = listed or blocks or few_blocks(self.blocks)
        self.listed: Mapping[str, LayerShape] = _at(
            self.steps, {block: shape for block, shape in self.blocks.items() if block in few}
        )
        shown = (tuple(self._halves), show, self.last, *(("pairs",) if pairs else ()))
        self.fingerprint = weights_fingerprint(
            self.network, "sampled", sampler.shape, sampler.steps, self.prompts, shown, *sampler.facts
        )

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} of {self._name}: {len(self.prompts)} prompts, {self.sampler.steps} steps, "
            f"{len(self.blocks)} blocks, on {self.device}>"
        )

    @property
    def opening_bytes(self) -> int:
        """Memory of the process at most while the sampler was opened, where it says that."""
        found: int = getattr(self.sampler, "opening_bytes", 0)
        return found

    @property
    def unit_names(self) -> dict[str, Sequence[str]]:
        """What the units of layers are called, where they are words: see `WordMaps`."""
        words: Sequence[str] = getattr(self.sampler, "words", ())
        return {layer: words for layer in self.layers if split_layer(layer).block.endswith(SUFFIX)}

    @property
    def edited_rows(self) -> str:
        """Which rows of a call edits change: ``all``, those with the prompt, ``cond``, or without it, ``uncond``."""
        if len(self._halves.edited) == self._halves.rows:
            return "all"
        return "cond" if self._halves.edited == HALVES["cond"].edited else "uncond"

    def form(self, block: str) -> MapForm:
        """Return where the feature map of a block is in what its module returns."""
        return self._forms[block]

    def forget(self) -> None:
        """Forget the states that are kept, as after a change of the weights."""
        self._kept = KeptStates(self.last)

    def latents(self, ids: range, seed: int) -> Latents:
        """Return noise and the number of the prompt, float32 [b, prod(shape) + 1]."""
        drawn = [noise_in_pairs(i) for i in ids] if self.pairs else ids
        noise = standard_normal(drawn, seed, self.sampler.shape, torch.device("cpu")).flatten(1)
        numbers = torch.tensor([self._order[i % len(self._order)] for i in ids], dtype=torch.float32)
        return torch.cat([noise, numbers[:, None]], 1).to(self.device)

    def prompt_of(self, z: Latents) -> list[str]:
        """Return the prompts of latents."""
        return [self.sampler.prompts[number] for number in self._numbers(z).tolist()]

    @torch.no_grad()
    def observe(self, z: Latents, layers: Sequence[str], edits: Sequence[Edit] = ()) -> Observation:
        """Return the images and the features of layers, of one sampling without gradients; see `Subject`."""
        planned = edits_by_layer(edits)
        self.check_layers([*layers, *planned])
        images, features = self._sample(z, LayerPlan(layers, planned))
        return Observation(images, {name: features[name] for name in layers})

    def render(self, r: Features, layer: str, z: Latents, edits: Sequence[Edit] = ()) -> Images:
        """Return the images with the layer's output replaced by `r`; see `Generator`.

        Under ``half=both`` r replaces the rows with the prompt alone, and edits are done to both halves.
        """
        self.check_layers([layer])
        planned = onward_edits(edits, layer, self.layers)
        return self._sample(z, LayerPlan((), planned, {layer: r}))[0]

    def edited(self, z: Latents, edits: Sequence[Edit]) -> Images:
        """Return the images with edits at any layers, of one sampling without gradients."""
        return self.observe(z, (), edits).images

    @torch.no_grad()
    def observe_noised(self, images: Images, z: Latents, layer: str) -> Features:
        """Return the features of a layer at its step, where the state is these images with the noise of latents.

        Raises:
            BadModel: the sampler does not say how noise and an image are mixed at a step.
            UnknownName: there is no such layer.
        """
        self.check_layers([layer])
        mix = getattr(self.sampler, "noised", None)
        if mix is None:
            raise BadModel(f"{self._name} does not say how noise and an image are mixed at a step")
        noise, step = z[:, :-1].reshape(-1, *self.sampler.shape), _step_of(layer)
        with foreign_errors(f"adding noise for {self._name}"):
            state = mix(images, noise, self._numbers(z), step)
        return self._run(state, step, _by_step(LayerPlan([layer]))[step])[1][split_layer(layer).block]

    def check_layers(self, layers: Sequence[str]) -> None:
        """Refuse what is no layer.

        Raises:
            UnknownName: there is no such block, or no such step.
        """
        for layer in layers:
            if layer not in self.layers:
                block, step = split_layer(layer)
                check_update(block, self._name, {**self.blocks, **self._updates}, self.others)
                if (block in self.blocks or block in self._updates) and step is not None:
                    raise BadValue(f"{layer}: {self._name} has steps 1 to {self.last}")
                near = [at_step(layer, own) for own in self.steps] if layer in self.blocks else []
                raise UnknownName(f"layer of {self._name}", layer, self.layers, near)

    def _numbers(self, z: Latents) -> Tensor:
        return z[:, -1].round().long() % len(self.sampler.prompts)

    def _sample(self, z: Latents, plan: LayerPlan) -> tuple[Images, dict[str, Tensor]]:
        """Return images, and features of the layers that are kept, by layer."""
        if not len(z):
            features = {layer: torch.empty(0, *self.layers[layer], device=self.device) for layer in plan.kept}
            return torch.empty(0, *self._image, device=self.device), features
        by_step = _by_step(plan)
        changed = min((_step_of(layer) for layer in (*plan.edits, *plan.put)), default=self.last + 1)
        state, done, plain = self._before(z, min(by_step, default=self.last + 1))
        features = {}
        for number in range(done + 1, self.last + 1):
            state, read = self._step(state, number, by_step.get(number, LayerPlan()))
            features |= {at_step(block, number): r for block, r in read.items()}
            if plain and number < changed:
                self._kept.add(z, number, state)
        if torch.is_grad_enabled() and any(r.requires_grad for r in plan.put.values()) and not state.x.requires_grad:
            raise BadModel(f"{self._name} keeps no gradient from {', '.join(plan.put)} to its images")
        return self._images(state), features

    @torch.no_grad()
    def _before(self, z: Latents, step: int) -> tuple[State, int, bool]:
        """Return a state without edits before a step, how many steps were done, and whether to keep what follows.

        Latents that come several times, as where an image is edited at many places, are sampled once up to there.
        """
        own, rows = unique_rows(z)
        found = self._kept.find(own, step - 1)
        done, state = found or (0, self._start(own))
        for number in range(done + 1, step):
            state, _ = self._step(state, number, LayerPlan())
            self._kept.add(own, number, state)
        return state if rows is None else state[rows], step - 1, rows is None

    def _start(self, z: Latents) -> State:
        noise = z[:, :-1].reshape(-1, *self.sampler.shape)
        with foreign_errors(f"beginning to sample with {self._name}"):
            return self.sampler.start(noise, self._numbers(z))

    def _step(self, state: State, number: int, plan: LayerPlan) -> tuple[State, dict[str, Tensor]]:
        """Return the state after a step, and the features of its blocks; under gradients without its graph.

        The graph of the step is made again in the backward pass, so that the memory of one step is enough.
        """
        run = partial(self._run, state, number, plan)
        if not torch.is_grad_enabled():
            return run()
        done: tuple[State, dict[str, Tensor]]
        with set_checkpoint_early_stop(False):  # it would stop by an exception, which what surrounds the step takes
            done = checkpoint(run, use_reentrant=False, preserve_rng_state=False)
        return done

    def _run(self, state: State, number: int, plan: LayerPlan) -> tuple[State, dict[str, Tensor]]:
        hook = LayerHook(self._name, self._forms, len(state), plan, self._halves)
        with self._ready(f"step {number} of {self._name}"), hook.on(self.network):
            state = self.sampler.step(state, number)
        if hook.fewest < len(state):
            raise BadModel(f"{self._name} does not return one map for each image at step {number}")
        hook.check_done()
        return state, hook.features

    def _images(self, state: State) -> Images:
        draw = self.sampler.image if self._show == "final" else self.sampler.estimate
        with self._ready(f"drawing the images of {self._name}"):
            images = draw(state)
        if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[:2] != (len(state), 3):
            found = list(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise BadModel(f"{self._name} draws {found} for {len(state)} latents; it must draw images [b, 3, H, W]")
        return images.float()

    @contextlib.contextmanager
    def _ready(self, doing: str) -> Iterator[None]:
        with evaluating(self.network), uncompiled(self.network), foreign_errors(doing):
            yield

    @torch.no_grad()
    def _probe(self) -> tuple[Survey, torch.Size]:
        """Survey the first step, and check that what it returns of an image depends on that image alone.

        Return the survey, and the shape of an image.
        """
        surveys: list[Survey] = []
        smaller: GridOf = partial(grid_of, size=self.sampler.shape[1:])
        find: GridOf = getattr(self.sampler, "grid_of", smaller)

        def hook_all(hook: Hook) -> contextlib.AbstractContextManager[None]:
            return hooked(self.network, readable(self.network), hook)

        def step(z: Latents) -> Tensor:
            survey = Survey(len(z), self._halves, find)
            with hook_all(survey):
                state, _ = self._run(self._start(z), 1, LayerPlan())
            surveys.append(survey)
            survey.exclude_images(state.x, "returns what the step predicts")
            return state.x.float()

        z = self.latents(range(2), 0)
        check_alone(step, z, self.network, hook_all, (self._name, "first step of a latent"))
        survey, first, second, *_ = surveys
        survey.exclude_others(first)
        survey.exclude_mixed(first, second)
        survey.exclude_tiles()
        if not survey.layers:
            reasons = "; ".join(f"{name} {reason}" for name, reason in list(survey.others.items())[-3:])
            raise BadModel(f"{self._name} has no layer: none of its submodules returns a feature map ({reasons})")
        return survey, self._images(self._run(self._start(z[:1]), 1, LayerPlan())[0]).shape[1:]


def _at(steps: Sequence[int], blocks: Mapping[str, LayerShape]) -> dict[str, LayerShape]:
    """Return the layers of blocks at steps."""
    return {at_step(block, step): shape for step in steps for block, shape in blocks.items()}


def _step_of(layer: str) -> int:
    return split_layer(layer).step or 0


def _by_step(plan: LayerPlan) -> dict[int, LayerPlan]:
    """Return what is done at each step, by the names of blocks."""
    found: dict[int, LayerPlan] = {}
    for step in {_step_of(layer) for layer in plan.layers}:
        own = {layer: split_layer(layer).block for layer in plan.layers if _step_of(layer) == step}
        kept = [own[layer] for layer in plan.kept if layer in own]
        edits = {own[layer]: each for layer, each in plan.edits.items() if layer in own}
        found[step] = LayerPlan(kept, edits, {own[layer]: r for layer, r in plan.put.items() if layer in own})
    return found


def _halves(sampler: Sampler, half: str, name: str) -> Halves:
    if half not in HALVES:
        raise UnknownName("half", half, HALVES)
    if sampler.halves not in (1, 2):
        raise BadModel(
            f"{name} has {sampler.halves} rows of a call for each image; it must have 1, or 2 under guidance"
        )
    if sampler.halves == 1 and half != "cond":
        raise BadValue(f"half={half}: {name} is not guided, so an image has one row of a call; leave half out")
    return HALVES[half] if sampler.halves == 2 else ONE


def _steps(sampler: Sampler, steps: Sequence[int], show: str, name: str) -> tuple[int, ...]:
    """Return the steps that are listed, in order."""
    if show not in SHOWS:
        raise UnknownName("way to show images", show, SHOWS)
    if not sampler.prompts:
        raise BadValue(f"{name} has no prompts; give at least one, which may be empty")
    for step in steps:
        if not 1 <= step <= sampler.steps:
            raise BadValue(f"step={step}: {name} has steps 1 to {sampler.steps}")
    return tuple(sorted(set(steps))) or spread(sampler.steps)


class SampledOptions(NamedTuple):
    """Options of a `SampledGenerator`, read from text."""

    steps: tuple[int, ...]
    blocks: tuple[str, ...]


def sampled_options(step: str, layers: str) -> SampledOptions:
    """Return the options ``step=1,5,10`` and ``layers=a,b`` of a model's name.

    >>> sampled_options("1,5", "up1")
    SampledOptions(steps=(1, 5), blocks=('up1',))

    Raises:
        BadValue: a step is no number.
    """
    try:
        steps = tuple(int(each) for each in step.split(",") if step)
    except ValueError:
        raise BadValue(f"step={step}: give numbers from 1, separated by commas") from None
    return SampledOptions(steps, tuple(layers.split(",") if layers else ()))
