"""Train the bundled segmenter on rendered scenes, distorted so that it also reads generated ones.

    python recipes/train_segmenter.py --out runs/segmenter --export src/ganatomy/assets/scenes.safetensors

It saves itself every two minutes and resumes where it stopped; a finished run only exports.

No image is seen twice: scene ids count up with the steps. Held-out scenes come from another seed.
"""

import argparse
import datetime
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from distortions import distorted, moved
from gan.precision import mixed_precision
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ganatomy.core.files import atomic_write, write_text
from ganatomy.core.fingerprint import file_sha256
from ganatomy.core.vocabulary import Concept
from ganatomy.models.segmenters.unet import UNet, UNetSegmenter, heads
from ganatomy.models.weights import fit_state, read_state
from ganatomy.scenes import PLANES, VOCABULARY, render

HEADS = heads(VOCABULARY)
HELD_OUT = 1_000_003
"""Added to the seed for scenes that training never sees."""


def local_labels(labels: Tensor) -> Tensor:
    """Number the concepts of each plane as its head does."""
    table = torch.zeros(len(HEADS), len(VOCABULARY), dtype=torch.long)
    for own, head in zip(table, HEADS, strict=True):
        own[head] = torch.arange(len(head))
    return torch.stack([own[plane] for own, plane in zip(table, labels.long().unbind(1), strict=True)], 1)


def scenes(categories: Sequence[str], ids: range, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Render as many scenes of each category: images in [-1, 1] and labels as the heads number them."""
    drawn = [render(category, ids, size, seed) for category in categories]
    images = torch.from_numpy(np.concatenate([d.images for d in drawn]))
    labels = torch.from_numpy(np.concatenate([d.labels for d in drawn]))
    return images.float() / 127.5 - 1, local_labels(labels)


def batches(args: argparse.Namespace, first: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield distorted batches from step `first` on; batch i depends on (seed, i) only."""
    each = args.batch // len(args.categories)
    block = 16  # batches rendered at once
    for start in range(first, args.steps, block):
        images, labels = scenes(args.categories, range(start * each, (start + block) * each), args.size, args.seed)
        rows = torch.arange(len(images)).reshape(len(args.categories), block, each)
        for step in range(start, min(start + block, args.steps)):
            source = torch.Generator().manual_seed(args.seed * 1_000_000_007 + step)
            mixed = rows[:, step - start].flatten()
            mixed = mixed[torch.randperm(len(mixed), generator=source)]
            inputs, found = moved(images[mixed], labels[mixed], source)
            yield distorted(inputs, source), found


def class_weights(args: argparse.Namespace) -> list[Tensor]:
    """Weigh rare concepts up gently: by share of pixels to the power -0.3, 1 on average over pixels."""
    _, labels = scenes(args.categories, range(256), args.size, args.seed)
    weights = []
    for plane, head in enumerate(HEADS):
        share = torch.bincount(labels[:, plane].flatten(), minlength=len(head)).double() / labels[:, plane].numel()
        weight = share.clamp(min=1e-4) ** -0.3
        weights.append((weight / (weight * share).sum()).float())
    return weights


def loss_of(net: UNet, images: Tensor, labels: Tensor, weights: Sequence[Tensor]) -> Tensor:
    with mixed_precision():
        logits = net(images.contiguous(memory_format=torch.channels_last))
    planes = torch.split(logits.permute(0, 2, 3, 1), [len(head) for head in HEADS], 3)
    losses = [
        F.cross_entropy(plane.reshape(labels[:, i].numel(), -1).float(), labels[:, i].flatten(), weights[i])
        for i, plane in enumerate(planes)
    ]
    return torch.stack(losses).sum()


def rate_at(args: argparse.Namespace, step: int) -> float:
    """Return the learning rate: up over the first 100 steps, then down a half cosine to nothing."""
    return float(args.rate * min(1, (step + 1) / 100) * (1 + math.cos(math.pi * step / args.steps)) / 2)


def train(args: argparse.Namespace) -> UNet:
    torch.manual_seed(args.seed)
    net = UNet(args.widths, sum(len(head) for head in HEADS), nn.BatchNorm2d).to(memory_format=torch.channels_last)
    adam = torch.optim.AdamW(net.parameters(), lr=args.rate, betas=(0.9, 0.99), weight_decay=0.01)
    checkpoint = args.out / "checkpoint.safetensors"
    step = resume(checkpoint, net, adam) if checkpoint.exists() else 0
    weights = class_weights(args)
    saved = started = time.monotonic()
    first = step
    for images, labels in batches(args, first):
        adam.param_groups[0]["lr"] = rate_at(args, step)
        loss = loss_of(net, images, labels, weights)
        adam.zero_grad()
        loss.backward()
        adam.step()
        step += 1
        if step % 100 == 0:
            speed = (step - first) * args.batch / (time.monotonic() - started)
            print(f"step {step}  loss {loss.item():.3f}  {speed:.0f} images/s", flush=True)
        if time.monotonic() - saved > 120:
            save(checkpoint, net, adam, step)
            saved = time.monotonic()
    save(checkpoint, net, adam, step)
    return net.eval()


def save(path: Path, net: UNet, adam: torch.optim.Optimizer, step: int) -> None:
    moments = {f"adam.{i}.{k}": v for i, held in adam.state_dict()["state"].items() for k, v in held.items()}
    state = {f"net.{name}": value for name, value in net.state_dict().items()}
    tensors = {name: value.contiguous() for name, value in (state | moments).items()}
    with atomic_write(path) as temporary:
        safetensors.torch.save_file(tensors | {"step": torch.tensor(step)}, temporary)


def resume(path: Path, net: UNet, adam: torch.optim.Optimizer) -> int:
    state = read_state(path)
    fit_state(net, {n.removeprefix("net."): v for n, v in state.items() if n.startswith("net.")}, str(path))
    held: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        if name.startswith("adam."):
            _, i, key = name.split(".")
            held.setdefault(int(i), {})[key] = value
    adam.load_state_dict({"state": held, "param_groups": adam.state_dict()["param_groups"]})
    return int(state["step"])


def folded(net: UNet) -> UNet:
    """Return the same function without norms: each batch norm folded into the convolution before it."""
    plain = UNet([stage[0][0].out_channels for stage in net.down], net.head.out_channels).eval()
    convolutions, bare = ([m for m in each.modules() if isinstance(m, nn.Conv2d)] for each in (net, plain))
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    for own, convolution, norm in zip(bare, convolutions, [*norms, None], strict=True):  # the head has no norm
        own.load_state_dict((fuse_conv_bn_eval(convolution, norm) if norm else convolution).state_dict())
    return plain


def ious(segmenter: UNetSegmenter, images: Tensor, labels: Tensor) -> dict[Concept, float]:
    """Return the IoU of every concept that is there, over all pixels of a sample."""
    seen = local_labels(segmenter(images))
    found = {}
    for plane, head in enumerate(HEADS):
        table = torch.bincount((labels[:, plane] * len(head) + seen[:, plane]).flatten(), minlength=len(head) ** 2)
        table = table.reshape(len(head), len(head))
        union = table.sum(0) + table.sum(1) - table.diag()
        found |= {VOCABULARY[c]: float(table[k, k] / union[k]) for k, c in enumerate(head) if k and table[k].sum()}
    return found


def measure(args: argparse.Namespace, net: UNet) -> dict[str, object]:
    """Score held-out scenes: mean IoU of every plane, and a row per concept; as rendered, and distorted."""
    segmenter = UNetSegmenter(net, VOCABULARY)
    images, labels = scenes(args.categories, range(args.held_out), args.size, args.seed + HELD_OUT)
    clean = ious(segmenter, images, labels)
    rough = ious(segmenter, distorted(images, torch.Generator().manual_seed(args.seed)), labels)
    scores = {
        f"{plane} mIoU{suffix}": round(float(np.mean([iou for c, iou in found.items() if c.category == plane])), 4)
        for suffix, found in (("", clean), (" distorted", rough))
        for plane in PLANES
    }
    return {"scores": scores, "concepts": [[*c, round(iou, 3), round(rough[c], 3)] for c, iou in clean.items()]}


def export(args: argparse.Namespace, net: UNet) -> None:
    tensors = {name: value.contiguous() for name, value in net.state_dict().items()}
    with atomic_write(args.export) as temporary:
        safetensors.torch.save_file(tensors, temporary)
    card = {
        "name": args.export.stem,
        "kind": "segmenter",
        "family": "unet",
        "title": "Small U-Net that names objects, parts and materials in the scenes of this package",
        "recipe": f"python recipes/train_segmenter.py --steps {args.steps} --batch {args.batch} --seed {args.seed}"
        f" --categories {' '.join(args.categories)} --widths {' '.join(map(str, args.widths))}",
        "seed": args.seed,
        "images": args.steps * args.batch,
        **measure(args, net),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "licence": "Apache-2.0",
        "sha256": file_sha256(args.export),
        "vocabulary": [list(concept) for concept in VOCABULARY],
    }
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(fact)}" for name, fact in card.items())
    write_text(args.export.with_suffix(".json"), f"{{\n{lines}\n}}\n")
    print(lines)


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="directory for checkpoints")
    parser.add_argument("--export", type=Path, help="write the weights here when done, and their card beside them")
    parser.add_argument("--categories", nargs="+", default=["church", "livingroom"])
    parser.add_argument("--steps", type=int, default=2200)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--widths", type=int, nargs="+", default=[24, 48, 96, 160])
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--held-out", type=int, default=512, help="scenes of each category to score")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(given)
    net = folded(train(args))
    if args.export:
        export(args, net)


if __name__ == "__main__":
    main()
