"""Train a Progressive GAN on rendered scenes (SPEC 9: the paper's generator, on the embedded world).

    python recipes/train_generator.py church --out runs/church                    # resumes where it stopped
    python recipes/train_generator.py church --out runs/early --start runs/church/checkpoint.pt --cooldown 15000
    python recipes/train_generator.py church --out runs/church --export src/ganatomy/assets/church.safetensors
    python recipes/train_generator.py church --out runs/church --discriminator runs/church-discriminator.safetensors
    python recipes/train_generator.py church --out runs/more --start compact.pt --images 600000

A cooldown takes a copy of an unfinished training to a good end: the learning rate falls to 0 over the next images.
Images are rendered while the training goes on. Without the bundled segmenter there is no distance and no gate.
"""

import argparse
import dataclasses
import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from gan.evaluation import SegmenterEvaluation
from gan.images import RenderedImages
from gan.training import Draw, Evaluate, Schedule, Training, rounded

from ganatomy.core.errors import GanatomyError
from ganatomy.core.files import atomic_write, write_text
from ganatomy.core.fingerprint import file_sha256
from ganatomy.models.generators.discriminator import discriminator_network
from ganatomy.models.weights import State
from ganatomy.scenes import render

TINY = Schedule(
    sizes=(8, 8, 8, 8, 4, 4), images=400, stable=(64, 64, 64, 64), fade=32, decay=64, batch=(8, 8, 8, 8, 8),
    first=64, max_rendered=320, report_every=100,
)  # fmt: skip
"""A rehearsal of the whole schedule in seconds."""


def main(given: Sequence[str] | None = None) -> None:
    args = parse(given)
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    schedule = TINY if args.tiny else Schedule()
    if args.images:
        schedule = dataclasses.replace(schedule, images=args.images)
    if args.stable:
        schedule = dataclasses.replace(schedule, stable=tuple(args.stable))
    size = 4 << (len(schedule.sizes) - 2)

    def rendered(ids: range) -> np.ndarray:
        return render(args.category, ids, size, args.seed).images

    dataset = RenderedImages(args.image_file or args.out / "images.u8", size, rendered)
    training = Training(schedule, args.out, dataset, args.seed)
    checkpoint = training.checkpoint if training.checkpoint.exists() else args.start
    if checkpoint:
        training.load(checkpoint)
    if args.cooldown:
        training.cool_down(args.cooldown)
    if args.compact:
        training.save_compact(args.compact)
    elif args.discriminator:
        export_discriminator(args, training)
    elif args.export:
        export(args, training, evaluation(args.category, args.seed, schedule.sizes[0], size, images=4000))
    else:
        training.run(evaluation(args.category, args.seed, schedule.sizes[0], size))


def evaluation(category: str, seed: int, latent: int, size: int, images: int = 1000) -> Evaluate:
    """Return the evaluation by the bundled segmenter, or without it one that measures nothing."""
    try:
        return SegmenterEvaluation(category, seed, latent, size, images)
    except GanatomyError as error:
        print(f"no Fréchet distance, no gate: {error}")

    def nothing(_: Draw) -> dict[str, Any]:
        return {}

    return nothing


def export(args: argparse.Namespace, training: Training, evaluate: Evaluate) -> None:
    """Write the averaged generator in the published layout, and its card."""
    facts = {
        "kind": "generator",
        "family": "progan",
        "title": f"Progressive GAN trained on rendered scenes of the category {args.category}",
        "scores": rounded(evaluate(training.draw)),
    }
    write_weights(args, training, args.export, training.averaged.published(), facts)


@torch.no_grad()
def export_discriminator(args: argparse.Namespace, training: Training, images: int = 4000) -> None:
    """Write the discriminator at full resolution, and its card: how often it is right, of scenes that it never saw."""
    size = training.dataset.size
    unseen = range(10_000_000, 10_000_000 + images)
    real = torch.from_numpy(render(args.category, unseen, size, args.seed).images).float() / 127.5 - 1
    state = training.discriminator.published(real[:400])
    network = discriminator_network(training.schedule.sizes[:0:-1])
    network.load_state_dict(state)
    z = torch.randn(images, training.schedule.sizes[0], generator=torch.Generator().manual_seed(args.seed))
    scores = [
        torch.cat([network(part)[:, 0] for part in batches])
        for batches in (torch.split(real, 100), (training.draw(part) for part in torch.split(z, 100)))
    ]
    facts = {
        "kind": "discriminator",
        "family": "discriminator",
        "options": {"images": f"scenes:{args.category}"},
        "title": f"The discriminator that the {args.category} generator learned from",
        "scores": rounded({"scenes": _share(scores[0] > 0), "drawn": _share(scores[1] < 0)}),
    }
    write_weights(args, training, args.discriminator, state, facts)


def _share(right: torch.Tensor) -> float:
    return float(right.double().mean())


def write_weights(
    args: argparse.Namespace, training: Training, path: Path, state: State, facts: dict[str, Any]
) -> None:
    """Write weights and their card."""
    with atomic_write(path) as temporary:
        safetensors.torch.save_file(state, temporary)
    card = {
        "name": path.stem,
        "kind": facts.pop("kind"),
        "family": facts.pop("family"),
        "category": args.category,
        "size": training.dataset.size,
        "title": facts.pop("title"),
        "recipe": f"python recipes/train_generator.py {args.category} --seed {args.seed}" + course(training),
        "seed": args.seed,
        "images": training.seen,
        **facts,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "licence": "Apache-2.0",
        "sha256": file_sha256(path),
    }
    write_text(path.with_suffix(".json"), json.dumps(card, indent=1) + "\n")
    print(json.dumps(card["scores"]))


def course(training: Training) -> str:
    """Return how long the training went on, and where it was stopped."""
    cooled, seen, planned = training.counters["cooled_from"], training.seen, training.schedule.images
    phases = f" --stable {' '.join(map(str, training.schedule.stable))}"
    if cooled:
        return f"{phases}, stopped at {cooled} images; then --cooldown {seen - cooled}"
    return f"{phases} --images {planned}" + (f", stopped at {seen}" if seen < planned else "")


def parse(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("category", help="church or livingroom")
    parser.add_argument("--out", type=Path, required=True, help="directory for checkpoint, log and sample grids")
    parser.add_argument("--image-file", type=Path, help="file of rendered images (default: in --out)")
    parser.add_argument("--images", type=int, help="length of the training")
    parser.add_argument("--stable", type=int, nargs="+", help="images at 4, 8, 16 … px; the last gets the rest")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="on shared cores two are far slower than one")
    parser.add_argument("--start", type=Path, help="checkpoint to start from")
    parser.add_argument("--cooldown", type=int, default=0, help="end after so many more images")
    parser.add_argument("--export", type=Path, help="write the averaged weights here, and their card beside them")
    parser.add_argument("--discriminator", type=Path, help="write the discriminator here, and its card beside it")
    parser.add_argument("--compact", type=Path, help="write a small checkpoint here, to start from elsewhere")
    parser.add_argument("--tiny", action="store_true", help="rehearse the whole schedule in seconds")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
