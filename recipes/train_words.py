"""Train a word-conditional rectified flow on rendered churches whose doors and windows stand anywhere on their walls.

    python recipes/train_words.py --out runs/words                     # resumes where it stopped
    python recipes/train_words.py --out runs/words --compact words.pt  # weights alone, in half precision
    python recipes/train_words.py --out runs/more --start words.pt     # goes on from these
    python recipes/train_words.py --out runs/words --export src/ganatomy/assets/church-words.safetensors
    python recipes/train_words.py --network dit --compile --out runs/dit --images 500_000    # a transformer instead

Scenes are rendered while it trains, one for every four images seen. Each says of every season, time of day and kind of
object whether it is there; training hides words at random.
"""

import argparse
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from gan.evaluation import UNSEEN, SegmenterEvaluation
from likelihood.training import Training
from torch import Tensor
from words.data import CATEGORY, SIZE, WordScenes, word_states
from words.export import export
from words.model import RectifiedFlow

from ganatomy.core.files import atomic_write
from ganatomy.models.generators.words import WORDS, WordTransformer, WordUNet
from ganatomy.scenes import render

NETWORKS = {"unet": WordUNet, "dit": WordTransformer}
FIRST, SHARE, MOST = 20_000, 0.25, 100_000
"""Scenes rendered before the first step, for each image seen, and in all; where they were lost, it begins anew."""
BLOCK = 6400
"""Images between renderings."""


def main(given: Sequence[str] | None = None) -> None:
    args = parse(given)
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(args.seed)
    scenes = WordScenes(args.out, args.seed)
    model = RectifiedFlow(NETWORKS[args.network](len(WORDS)), held_out_states(args.seed), SIZE)
    training = Training(model, args.out, scenes, args.seed, rate=1.5e-3, half_life=10_000)
    if training.checkpoint.exists():
        training.load()
    elif args.start:
        start(training, args.start)
    if args.compact:
        compact(training, args.compact)
    if args.export:
        command = f"python recipes/train_words.py --network {args.network} --seed {args.seed} --images {training.seen}"
        facts = {"recipe": command, "seed": args.seed, "images": training.seen}
        export(training.averaged, args.export, facts)
    if args.compact or args.export:
        return
    if args.compile:
        model.network.net.compile()
    evaluation = cache(lambda: SegmenterEvaluation(CATEGORY, args.seed, model.latent, SIZE, 1000))
    while training.seen < args.images:
        until = min(training.seen + BLOCK, args.images)
        scenes.grow(min(max(FIRST, len(scenes.images)) + int(SHARE * (until - training.seen)), MOST))
        training.run(args.images, 32, evaluation() if due(training.seen, until) else nothing, BLOCK, until=until)


def held_out_states(seed: int, count: int = 1000) -> Tensor:
    """What is known of the words of scenes that training never sees."""
    ids = range(UNSEEN, UNSEEN + count)
    return torch.from_numpy(word_states(ids, render(CATEGORY, ids, SIZE, seed).labels, seed)).long()


def due(before: int, after: int, every: int = 128_000) -> bool:
    """Whether a Fréchet distance and shares are to be measured at the end of these images."""
    return before // every < after // every


def nothing(_: Any) -> dict[str, Any]:
    """Measure nothing: a sample grid is enough."""
    return {}


def start(training: Training, path: Path) -> None:
    """Take the averaged weights of a compact file for the weights, and go on with the images it has seen."""
    state = torch.load(path, weights_only=True)
    for model in (training.model, training.averaged):
        model.network.net.load_state_dict(state["net"])
    training.counters["seen"] = state["seen"]


def compact(training: Training, path: Path) -> None:
    """Write the averaged weights in half precision, and how many images they have seen."""
    half = {name: value.half() for name, value in training.averaged.network.net.state_dict().items()}
    with atomic_write(path) as temporary:
        torch.save({"net": half, "seen": training.seen}, temporary)


def parse(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="directory for scenes, checkpoint, log and samples")
    parser.add_argument("--network", choices=NETWORKS, default="unet", help="what is trained (unet)")
    parser.add_argument("--images", type=int, default=1_000_000, help="images to learn from, repeated ones counted")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="on shared cores two are far slower than one")
    parser.add_argument("--compile", action="store_true", help="compile the network first, which needs a C++ compiler")
    parser.add_argument("--start", type=Path, help="compact weights to start from, where --out has no checkpoint")
    parser.add_argument("--compact", type=Path, help="write the averaged weights here, and stop")
    parser.add_argument("--export", type=Path, help="write them here as a bundled model, with its card, and stop")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
