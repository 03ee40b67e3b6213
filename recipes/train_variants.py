"""Train the generators of our own study alike: the baseline, with minibatch deviation, with pixel norm (Figure 7).

    python recipes/train_variants.py church --out runs/variants                 # all, one after the other; resumes
    python recipes/train_variants.py church --out runs/variants --seeds 0 1 --variants baseline deviation
    … --seeds 0 1 --export recipes/variants                                     # copies the last generator of each
    … --variants pixelnorm --moments 8 --export recipes/variants                # one training at all its moments

One thing at a time changes: each has all that the one before has. The same seed gives the same images and latents in
the same order. Of every training, generators of several moments are kept, for the study of training itself (S-6.6).
"""

import argparse
import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from gan.images import RenderedImages
from gan.training import Schedule, Training
from train_generator import evaluation

from ganatomy.scenes import render

SIZE = 32
SCHEDULE = Schedule(
    sizes=(64, 64, 64, 64, 64), images=160_000, stable=(2_000, 3_000, 5_000), fade=2_000, decay=30_000,
    batch=(32, 32, 32, 16), first=20_000, max_rendered=100_000,
    keep=(12_000, 16_000, 24_000, 32_000, 48_000, 64_000, 96_000, 160_000),
)  # fmt: skip
"""For all; the resolutions below the last are soon done with, so that most moments can be compared."""

TINY = dataclasses.replace(
    SCHEDULE, sizes=(8, 8, 8, 8, 8), images=320, stable=(32, 32, 32), fade=32, decay=64, first=64, max_rendered=128,
    keep=(128, 320), report_every=160,
)  # fmt: skip
"""A rehearsal in seconds."""

VARIANTS = {
    "baseline": {"spread": False, "pixelnorm": False},
    "deviation": {"spread": True, "pixelnorm": False},
    "pixelnorm": {"spread": True, "pixelnorm": True},
}


def main(given: Sequence[str] | None = None) -> None:
    args = parse(given)
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    schedule = TINY if args.tiny else SCHEDULE
    dataset = RenderedImages(args.out / "images.u8", SIZE, lambda ids: rendered(args.category, ids))
    evaluate = None if args.export else evaluation(args.category, 0, schedule.sizes[0], SIZE)
    for seed in args.seeds:
        for variant in args.variants:
            own = dataclasses.replace(schedule, **VARIANTS[variant])
            directory = args.out / f"{variant}-{seed}"
            if evaluate is None:
                export(directory, args.export, args.moments)
                continue
            training = Training(own, directory, dataset, seed)
            if training.checkpoint.exists():
                training.load(training.checkpoint)
            training.run(evaluate)


def rendered(category: str, ids: range) -> np.ndarray:
    """Return images for training; their seed is one for all, so that all learn from the same."""
    return render(category, ids, SIZE, 0).images


def export(directory: Path, target: Path, moments: int) -> None:
    """Copy the last generators that a training kept to ``TARGET/VARIANT-SEED/IMAGES.safetensors``."""
    for kept in sorted((directory / "kept").glob("*.safetensors"))[-moments:]:
        (target / directory.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(kept, target / directory.name)


def parse(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("category", help="church or livingroom")
    parser.add_argument("--out", type=Path, required=True, help="directory of the trainings, one directory each")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="trainings of each")
    parser.add_argument("--threads", type=int, default=1, help="on shared cores two are far slower than one")
    parser.add_argument("--export", type=Path, help="copy the kept generators here, and train nothing")
    parser.add_argument("--moments", type=int, default=1, help="with --export: the last so many of each training")
    parser.add_argument("--tiny", action="store_true", help="rehearse it in seconds")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
