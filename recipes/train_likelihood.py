"""Train a small variational autoencoder or RealNVP on rendered scenes: generators that are no GAN.

    python recipes/train_likelihood.py vae church --out runs/vae                 # resumes where it stopped
    python recipes/train_likelihood.py realnvp church --out runs/flow
    python recipes/train_likelihood.py vae church --out runs/vae --export src/ganatomy/assets/church-vae.safetensors

A finished run only exports. Both are evaluated with the bundled segmenter, like the bundled GANs.
"""

import argparse
import datetime
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from gan.evaluation import UNSEEN, SegmenterEvaluation
from gan.images import RenderedImages
from gan.training import rounded
from likelihood.models import Flow, Vae
from likelihood.training import Training

from ganatomy.core.files import atomic_write, write_text
from ganatomy.core.fingerprint import file_sha256
from ganatomy.scenes import render

MODELS = {
    "vae": (lambda side: Vae(side, 64, [min(128, 1024 >> i) for i in range(2, side.bit_length())]), 120_000),
    "realnvp": (lambda side: Flow(side, (64, 48, 32), 3), 160_000),
}
"""How each is built, and the images that it learns from."""
TITLES = {"vae": "Decoder of a variational autoencoder", "realnvp": "RealNVP, a normalising flow,"}


def main(given: Sequence[str] | None = None) -> None:
    args = parse(given)
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(args.seed)
    build, images = MODELS[args.model]
    images = args.images or images

    def rendered(ids: range) -> np.ndarray:
        return render(args.category, ids, args.size, args.seed).images

    dataset = RenderedImages(args.out / "images.u8", args.size, rendered)
    dataset.grow(args.rendered_images)
    training = Training(build(args.size), args.out, dataset, args.seed)
    if training.checkpoint.exists():
        training.load()
    evaluate = SegmenterEvaluation(args.category, args.seed, training.model.latent, args.size, args.evaluation_images)
    training.run(images, 32, lambda draw: {"frechet": evaluate(draw)["frechet"]}, max(images // 8, 1))
    if args.export:
        export(args, training, evaluate)


def export(args: argparse.Namespace, training: Training, evaluate: SegmenterEvaluation) -> None:
    """Write the averaged drawing network in half precision, and a card with what is measured on just that."""
    network = training.averaged.network
    half = {name: v.half() if v.is_floating_point() else v for name, v in network.state_dict().items()}
    with atomic_write(args.export) as temporary:
        safetensors.torch.save_file({name: value.contiguous() for name, value in half.items()}, temporary)
    network.load_state_dict(half)
    held_out = render(args.category, range(UNSEEN, UNSEEN + args.evaluation_images), args.size, args.seed).images
    unseen = torch.from_numpy(held_out).float() / 127.5 - 1
    source = torch.Generator().manual_seed(args.seed)
    card = {
        "name": args.export.stem,
        "kind": "generator",
        "family": args.model,
        "category": args.category,
        "size": args.size,
        "title": f"{TITLES[args.model]} trained on rendered scenes of the category {args.category}",
        "recipe": f"python recipes/train_likelihood.py {args.model} {args.category} --seed {args.seed}"
        f" --size {args.size} --images {training.seen} --rendered-images {args.rendered_images}",
        "seed": args.seed,
        "images": training.seen,
        "scores": rounded(training.averaged.measure(unseen, source) | evaluate(training.draw)),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "licence": "Apache-2.0",
        "sha256": file_sha256(args.export),
    }
    write_text(args.export.with_suffix(".json"), json.dumps(card, indent=1) + "\n")
    print(json.dumps(card["scores"]))


def parse(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument("category", help="church or livingroom")
    parser.add_argument("--out", type=Path, required=True, help="directory for images, checkpoint, log and samples")
    parser.add_argument("--images", type=int, help="images to learn from, repeated ones counted")
    parser.add_argument("--rendered-images", type=int, default=60_000, help="different images among them")
    parser.add_argument(
        "--evaluation-images", type=int, default=2000, help="held-out images, and generated ones, for every score"
    )
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="on shared cores two are far slower than one")
    parser.add_argument("--export", type=Path, help="write the weights here when done, and their card beside them")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
