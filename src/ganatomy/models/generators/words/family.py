"""A rectified flow conditioned on words, as ``recipes/train_words.py`` trains it, sampled in Euler steps."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ganatomy.core.errors import BadFile, BadValue
from ganatomy.core.tensor_types import Images
from ganatomy.models.generators.registry import GENERATORS
from ganatomy.models.generators.sampling import SampledGenerator, State, sampled_options
from ganatomy.models.generators.sampling.prompts import read_prompts
from ganatomy.models.generators.word_maps import SUFFIX
from ganatomy.models.generators.words.conditions import UNSAID, WordNetwork
from ganatomy.models.generators.words.prompts import SLOTS, WORDS, word_states
from ganatomy.models.generators.words.transformer import WordTransformer
from ganatomy.models.generators.words.unet import WordUNet
from ganatomy.models.weights import State as Weights
from ganatomy.models.weights import fit_state, read_state

PROMPTS = "a {season} church by {time}"
"""Every season at every time of day: what an image shows besides is left to the noise."""
LARGEST = 1024
"""Side of the images that a file may ask for."""
MOST_STEPS = 1000


class WordSampler:
    """A rectified flow x_t = (1 - t) image + t noise, in equal Euler steps from t = 1 to 0; see `Sampler`.

    Args:
        network: the velocity, noise - image, as expected at (x, t) given the states of the words.
        prompts: sentences, see `word_states`.
        size: of the images.
        steps: calls of the network.
        guidance: how many times the velocity with the words is taken, less the rest without them; 1 for no guidance,
            where the network is not called without words.
        words: whether the attention to each word is a layer.
    """

    def __init__(
        self,
        network: WordNetwork,
        prompts: Sequence[str],
        size: int,
        steps: int = 8,
        guidance: float = 1.0,
        words: bool = False,
    ) -> None:
        self.network: nn.Module = network
        self.words: Sequence[str] = WORDS if words else ()
        if words:
            network.add_word_maps()
        self.prompts: Sequence[str] = tuple(prompts)
        self.steps, self.shape = steps, (3, size, size)
        self.halves = 1 if guidance == 1 else 2
        self.facts: tuple[object, ...] = ("words", guidance, *(("word maps",) if words else ()))
        self._guidance = guidance
        self._states = torch.tensor([word_states(prompt) for prompt in prompts])

    def start(self, noise: Float[Tensor, "b 3 H W"], prompt: Int64[Tensor, " b"]) -> State:
        """Return the state before the first step."""
        return State(noise.contiguous(memory_format=torch.channels_last), prompt)

    def step(self, state: State, number: int) -> State:
        """Return the state after a step: one call of the network."""
        now, then = 1 - (number - 1) / self.steps, 1 - number / self.steps
        words = self._states.to(state.x.device)[state.prompt]
        if self.halves == 1:
            velocity = self.network(state.x, state.x.new_full((len(state),), now), words)
        else:
            x = torch.cat([state.x, state.x])
            both = torch.cat([torch.full_like(words, UNSAID), words])
            without, given = self.network(x, x.new_full((len(x),), now), both).chunk(2)
            velocity = without + self._guidance * (given - without)
        return State(state.x + (then - now) * velocity, state.prompt, state.x - now * velocity)

    def estimate(self, state: State) -> Images:
        """Return the estimate of the image after the last step done."""
        return state.x if state.clean is None else state.clean

    def image(self, state: State) -> Images:
        """Return the image."""
        return state.x

    def noised(
        self, images: Images, noise: Float[Tensor, "b 3 H W"], prompt: Int64[Tensor, " b"], number: int
    ) -> State:
        """Return the state before a step, of images with noise: what was trained to be there."""
        now = 1 - (number - 1) / self.steps
        return State((1 - now) * self.encode(images) + now * noise, prompt)

    def encode(self, images: Images) -> Images:
        """Return the state's x after the last step, of images."""
        return images.contiguous(memory_format=torch.channels_last)


@GENERATORS.register("wordflow", data=True, weights="argument")
def open_wordflow(
    path: str,
    /,
    *,
    device: torch.device,
    prompts: str = PROMPTS,
    steps: int = 8,
    guidance: float = 1.0,
    step: str = "",
    show: str = "final",
    half: str = "cond",
    layers: str = "",
    inner: bool = False,
    pairs: bool = False,
    words: bool = False,
) -> SampledGenerator:
    """Open a text-to-image model of rendered churches that ``recipes/train_words.py`` trained.

    Its layers are the stages of a UNet at each step, ``down1@1`` … ``up0@8``, or the blocks of a transformer,
    ``blocks.0@1`` … ``blocks.5@8``, as the weights are of one or the other.

    Args:
        path: the weights.
        prompts: sentences of its words, ``a green church with a tree, without a cloud``, separated by semicolons, or a
            file with one on each line; ``{season}``, ``{time}``, ``{object}`` and ``{tree|bush}`` are slots, filled in
            with everything that they may hold. Image i has prompt i modulo their number.
        steps: calls of the network for an image.
        guidance: above 1, the prompt is exaggerated, by a second call without words.
        step: the steps whose layers are listed, ``1,5,8``; else four, from the first to the last.
        show: ``final``, or ``estimate``, the estimated image after the last listed step.
        half: of a guided call, the rows that are read and edited: ``cond``, with the prompt, ``uncond`` or ``both``.
        layers: the blocks to offer, ``up2,up1``; else the stages.
        inner: offer the parts of the stages as well.
        pairs: draw the first prompt and the second from the same noise, the third and the fourth, …, which must differ
            in one word; else each image has a noise of its own.
        words: offer the attention to each word as well, ``up2.attn2@4:words``, where words are the units.

    Raises:
        BadFile: unreadable, or with missing, extra or misshaped tensors; names the file and the tensor.
        BadValue: steps, guidance, or a prompt that cannot be meant.
        UnknownName: a word that the model does not know, a slot, or a block.
    """
    if not 1 <= steps <= MOST_STEPS:
        raise BadValue(f"steps={steps}: give 1 to {MOST_STEPS}")
    if not math.isfinite(guidance):
        raise BadValue(f"guidance={guidance} is no number; 1 is none, 2 to 5 are usual")
    network, size = _network(read_state(Path(path)), path)
    sampler = WordSampler(network.to(device), read_prompts(prompts, SLOTS), size, steps, guidance, words)
    options = sampled_options(step, layers)
    maps = tuple(f"{stage}.attn2{SUFFIX}" for stage in network.word_stages) if words else ()
    blocks = options.blocks or (() if inner else (*network.stages, *maps))
    listed = options.blocks or (*network.listed, *maps)
    return SampledGenerator(sampler, options.steps, show, half, blocks, "wordflow", listed, pairs)


def _network(state: Weights, source: str) -> tuple[WordNetwork, int]:
    """Return the network, its sizes those of the weights, and the side of its images."""
    size = state.pop("size", torch.empty(0))
    side = int(size) if size.numel() == 1 and bool(size.isfinite()) else 0
    kind = WordTransformer if "places" in state else WordUNet
    try:
        rows = len(state["words.weight"])
        with torch.device("meta"):  # sizes that do not go together may be those of a far larger network
            network = kind.like(len(WORDS), state, side)
    except (KeyError, ValueError, TypeError, IndexError):
        raise BadFile(
            f"{source}: not a words model of this package; it needs size, words.weight, input.weight … as "
            f"train_words.py writes them; first tensor found: {next(iter(state), 'none')}"
        ) from None
    except BadValue as error:
        raise BadFile(f"{source}: a words model of {error}") from None
    if rows != 3 * len(WORDS) or not 0 < side <= LARGEST:
        raise BadFile(
            f"{source}: a words model of {rows // 3} words and images of {side} pixels; this package has {len(WORDS)} "
            f"words, and images of up to {LARGEST} pixels"
        )
    fit_state(network, state, source)
    return network, side
