"""The job of the paper, on random weights: time, memory and disk of each experiment, beside their bounds and forecasts.

    python benchmarks/paper_size.py --out DIR                          14 layers, 256 px, 1729 concepts, 1000 + 1000
    python benchmarks/paper_size.py --out DIR --images 24 --size 64    a rehearsal
    python benchmarks/paper_size.py --out DIR --only dissect --memory 2 --concepts 1729

The generator is a Progressive GAN in the published layout; the segmenter labels regions of the images by what their
pixels hold: 400 of its concepts are common, others show on few pixels. Its own time is next to nothing, so that the
time told is that of the generator and of all statistics. Each experiment runs in a process of its own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

WIDTHS = (512, 512, 512, 256, 128, 64, 32)
"""Units of both layers at 4, 8, … 256 pixels."""
GIB = 1 << 30


def generator_file(directory: Path, size: int) -> Path:
    """Write random weights of a Progressive GAN of that many pixels, and return where."""
    from safetensors.torch import save_file

    path = directory / f"progan-{size}.safetensors"
    if not path.exists():
        torch.manual_seed(0)
        widths = WIDTHS[: size.bit_length() - 2]
        shapes, inputs = {}, 512
        for i, (units, at) in enumerate((units, 4 << j) for j, units in enumerate(widths) for _ in range(2)):
            kernel = 4 if i == 0 else 3
            shapes[f"layer{i + 1}"] = (units, inputs, kernel, kernel)
            inputs = units
            last = f"output_{at}x{at}"
        shapes[last] = (3, inputs, 1, 1)
        state = {f"{name}.conv.weight": torch.randn(shape) for name, shape in shapes.items()}
        state |= {f"{name}.wscale.b": 0.1 * torch.randn(shape[0]) for name, shape in shapes.items()}
        directory.mkdir(parents=True, exist_ok=True)
        save_file(state, path)
    return path


class Regions:
    """Labels images by their coarse grey values: some regions an image, each of a concept; and small spots.

    Args:
        concepts: how many there are, without "nothing".
        common: so many of them cover regions; others small spots only.
    """

    def __init__(self, concepts: int, common: int) -> None:
        from ganatomy.vocabulary import NOTHING, Concept

        self.vocabulary = (
            NOTHING,
            *(Concept(f"concept {i}", "object" if i % 3 else "part") for i in range(1, concepts + 1)),
        )
        self.planes = ("object", "part")
        self.fingerprint = f"regions-{concepts}-{common}"
        self.device = torch.device("cpu")
        self._rest, self._common = concepts - common, common

    def __call__(self, images: Tensor) -> Tensor:
        """Return labels int64 [b, 2, H, W]."""
        grey = images.float().mean(1, keepdim=True)
        labels = []
        for cells in (6, 9):
            coarse = F.interpolate(F.adaptive_avg_pool2d(grey, cells), images.shape[2:], mode="bilinear")[:, 0]
            low, high = coarse.amin((1, 2), keepdim=True), coarse.amax((1, 2), keepdim=True)
            steps = ((coarse - low) / (high - low).clamp(min=1e-6) * 11.999).long()
            own = (1e6 * low.abs()).long() % self._common
            labels.append(1 + (own + 37 * steps) % self._common)
        spot = 1 + self._common + (1e6 * high.abs()).long()[:, 0, 0] % max(self._rest, 1)
        if self._rest:
            labels[1][:, :3, :5] = spot[:, None, None]
        return torch.stack(labels, 1)


def dissect(args: argparse.Namespace) -> dict[str, Any]:
    """Dissect all layers."""
    from ganatomy.experiments.dissect import facts, run
    from ganatomy.experiments.dissect_spec import DissectSpec
    from ganatomy.experiments.forecast import forecast
    from ganatomy.experiments.models import Models
    from ganatomy.study import Study

    torch.set_num_threads(1)
    segmenter = Regions(args.concepts, min(args.common, args.concepts))
    models = Models(f"progan:{args.generator}", segmenter, "cpu")
    spec = DissectSpec(models.generator_given, "regions", images=args.images, calibration=min(256, args.images))
    start = time.process_time()
    told = forecast(spec, models, args.memory)
    asked = time.process_time() - start
    with Study.create(args.out / "study", spec, facts(spec, models)) as study:
        run(spec, study, models, args.memory)
    return {"forecast": {**vars(told), "cost": asked}}


EXPERIMENTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {"dissect": dissect}


def alone(args: argparse.Namespace) -> None:
    """Run one experiment in this process, and print what it took as JSON."""
    start, cpu = time.perf_counter(), time.process_time()
    found = EXPERIMENTS[args.alone](args)
    used = resource.getrusage(resource.RUSAGE_SELF)
    disk = sum(file.stat().st_size for file in (args.out / "study").rglob("*") if file.is_file())
    own = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "memory": used.ru_maxrss * 1024}
    print(json.dumps({**own, "disk": disk, **found}))


def main(given: Sequence[str] | None = None) -> None:
    """Run each experiment in a process of its own, and print a table."""
    args = parse(given)
    args.generator = generator_file(args.out, args.size)
    if args.alone:
        alone(args)
        return
    for name in args.only or EXPERIMENTS:
        command = [sys.executable, __file__, *(given if given is not None else sys.argv[1:]), "--alone", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        row = json.loads(done.stdout.splitlines()[-1])
        told = row["forecast"]
        print(
            f"{name:<10} {row['cpu']:8.0f} CPU-s (forecast {told['seconds']:.0f})  {row['seconds']:8.0f} s  "
            f"memory {row['memory'] / GIB:.2f} GiB (forecast {told['memory_bytes'] / GIB:.2f}, "
            f"bound {args.memory / GIB:.1f})  "
            f"disk {row['disk'] / GIB:.2f} GiB (forecast {told['disk_bytes'] / GIB:.2f})",
            flush=True,
        )
        (args.out / f"{name}.json").write_text(json.dumps(row, indent=1))


def parse(given: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="where studies go")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--size", type=int, default=256, help="pixels of an image's side")
    parser.add_argument("--concepts", type=int, default=1729)
    parser.add_argument("--common", type=int, default=400, help="how many of them cover regions")
    parser.add_argument(
        "--memory", type=lambda text: int(float(text) * GIB), default=4 * GIB, help="GiB of one process"
    )
    parser.add_argument("--only", nargs="*", choices=EXPERIMENTS)
    parser.add_argument("--alone", choices=EXPERIMENTS, help=argparse.SUPPRESS)
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
