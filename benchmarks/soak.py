"""Whether memory stays flat: long runs with small shards, and a server that answers thousands of requests.

    python benchmarks/soak.py                        every case, some forty minutes of one core
    python benchmarks/soak.py dissect web --images 2000
    python benchmarks/soak.py --model planted        the same with a generator that takes a millisecond an image
    python benchmarks/soak.py dissect context --model small-words    and with one that samples by prompts, in steps
    python benchmarks/soak.py --json > soak.json

Each case is a process of its own. Whenever it has drawn some more images, the memory that is its own (USS: private
pages, as the kernel counts them in ``smaps_rollup``), its descriptors and its threads are noted. What is free in the
heap of the C library is left out, but for a server: it goes up and down by a fifth, whatever is held. The means over
the second and over the last tenth of the images are compared, for each step of a run by itself, because steps hold
different tables. In the first tenth kernels are compiled and buffers find their size; a server's cache of images fills
in the first half, so there it is the sixth tenth that is compared. The growth a thousand images is the slope of a line
through what comes after the warm-up.
"""

import argparse
import ctypes
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

LEAST = 2000
"""Images of a step that is long enough."""
COMPARED = 0.1
"""Of a step, either part that is compared."""
WARM = {"web": 0.5}
"""Of a step, what comes before; a server keeps images until 256 MB of them are there (a tenth)."""


SMALL_WORDS = "wordflow:?steps=2"
"""A words model of random weights, which are made when they are needed."""


@dataclass(frozen=True)
class Model:
    """What is measured with: a generator, a segmenter, two of its layers, and a concept."""

    generator: str
    segmenter: str
    layers: tuple[str, str]
    concept: str


MODELS = {
    "church": Model("bundled:church", "bundled:scenes", ("layer4", "layer6"), "tree"),
    "words": Model("bundled:church-words?steps=2", "bundled:scenes?size=64", ("up2@2", "up2@1"), "tree"),
    "small-words": Model(SMALL_WORDS, "colors", ("up2@2", "up2@1"), "green"),
    "planted": Model("planted:", "planted:", ("layer2", "layer1"), "ball"),
}


HEAP = (
    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
)  # fmt: skip


class HeapFacts(ctypes.Structure):
    """What glibc says of the heap, see mallinfo2(3); `fordblks` are the bytes that are free."""

    _fields_ = [(name, ctypes.c_size_t) for name in HEAP]


def free_heap() -> int:
    """Hand back what this process does not use; return the bytes that the C library keeps, in holes of its heap."""
    library = ctypes.CDLL(None)
    library.mallinfo2.restype = HeapFacts
    library.malloc_trim(0)
    return int(library.mallinfo2().fordblks)


@dataclass(frozen=True)
class Sample:
    """What a process holds when so many images of a step are done."""

    images: int
    memory: int
    descriptors: int
    threads: int

    @classmethod
    def of(cls, images: int, process: int | str = "self") -> "Sample":
        """Look at a process; memory in bytes."""
        place = Path("/proc", str(process))
        private = re.findall(r"^Private_(?:Clean|Dirty): +(\d+) kB", (place / "smaps_rollup").read_text(), re.M)
        descriptors, threads = (len(list((place / name).iterdir())) for name in ("fd", "task"))
        memory = 1024 * sum(map(int, private)) - (free_heap() if process == "self" else 0)
        return cls(images, memory, descriptors, threads)


@dataclass
class Watch:
    """A `ganatomy.core.progress.Progress` that looks at its own process whenever another few images are done."""

    every: int = 50
    steps: dict[str, list[Sample]] = field(default_factory=dict)
    _done: int = 0
    _step: str = ""

    def begin(self, label: str, total: int) -> None:  # noqa: ARG002
        """Start a step."""
        self._step, self._done = label, 0
        self.steps[label] = []

    def advance(self, pieces: int) -> None:
        """Look, if it is time."""
        before, self._done = self._done, self._done + pieces
        if before // self.every != self._done // self.every:
            self.steps[self._step].append(Sample.of(self._done))

    def end(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Row:
    """How one step went; memory in bytes."""

    case: str
    step: str
    images: int
    first: float
    last: float
    slope: float
    descriptors: tuple[int, int]
    threads: tuple[int, int]

    @classmethod
    def of(cls, case: str, step: str, samples: Sequence[Sample]) -> "Row":
        """Compare the ends of a step."""
        images = samples[-1].images
        warm = WARM.get(case, 0.1)
        kept = [sample for sample in samples if sample.images > warm * images]
        first = [sample for sample in kept if sample.images <= (warm + COMPARED) * images]
        last = [sample for sample in kept if sample.images > (1 - COMPARED) * images]
        line = statistics.linear_regression([s.images for s in kept], [s.memory for s in kept])
        means = [statistics.fmean(sample.memory for sample in part) for part in (first, last)]
        return cls(
            case,
            step,
            images,
            *means,
            1000 * line.slope,
            (max(s.descriptors for s in first), max(s.descriptors for s in last)),
            (max(s.threads for s in first), max(s.threads for s in last)),
        )

    @property
    def growth(self) -> float:
        """How much more it holds at the end, as a share."""
        return self.last / self.first - 1


def rows(case: str, steps: dict[str, list[Sample]], least: int = LEAST) -> list[Row]:
    """Return the steps that are long enough to compare their ends."""
    return [Row.of(case, step, samples) for step, samples in steps.items() if samples and samples[-1].images >= least]


def dissect(model: Model, images: int, folder: Path, watch: Watch) -> None:
    """Dissect, in shards of 64 images: as many savings as a run of four times the images has."""
    import ganatomy

    options = {"layers": model.layers, "levels": 50, "shard": 64, "out": folder / "study", "progress": watch}
    ganatomy.dissect(model.generator, segmenter=model.segmenter, images=images, **options)


def _small(model: Model, folder: Path) -> Path:
    import ganatomy

    options = {"layers": model.layers, "images": 128, "levels": 20, "out": folder / "study"}
    ganatomy.dissect(model.generator, segmenter=model.segmenter, **options)
    return folder / "study"


def pool(model: Model, images: int, folder: Path, watch: Watch) -> None:
    """Pool class constants, as ACE and insertions do."""
    from ganatomy.experiments.causal.dissected_model import open_source
    from ganatomy.experiments.causal.pool import PoolSpec, open_pool
    from ganatomy.experiments.run_options import RunOptions

    source = open_source(_small(model, folder), run=RunOptions(shard=64))
    spec = PoolSpec(**source.names(), layer=model.layers[0], images=images)
    open_pool(source, spec, folder / "pool", progress=watch)


def ablate(model: Model, images: int, folder: Path, watch: Watch) -> None:
    """Switch units off, with random sets to compare with."""
    import ganatomy

    options = {"units": [1, 2, 3], "random": 2, "shard": 64, "out": folder / "effect", "progress": watch}
    ganatomy.ablate(_small(model, folder), layer=model.layers[0], images=images, **options)


def quality(model: Model, images: int, folder: Path, watch: Watch) -> None:
    """Describe generated and real images by features; those of every generated image are kept."""
    import ganatomy

    options = {"textures": 0, "out": folder / "quality", "progress": watch}
    ganatomy.quality(_small(model, folder), real="scenes:church", images=images, reals=images, **options)


def artifacts(model: Model, images: int, folder: Path, watch: Watch) -> None:
    """Rank units by the images in which they are greatest."""
    import ganatomy

    options = {"reals": 300, "top": 300, "out": folder / "artifacts", "progress": watch}
    ganatomy.artifacts(_small(model, folder), layer=model.layers[0], real="scenes:church", images=images, **options)


def context(model: Model, images: int, folder: Path, watch: Watch) -> None:
    """Insert a concept at places of many images."""
    import ganatomy

    options = {"cell": 8, "pool": 64, "shard": 64, "out": folder / "context", "progress": watch}
    ganatomy.context(
        _small(model, folder), layer=model.layers[0], concept=model.concept, top=3, by="iou", images=images, **options
    )


def web(model: Model, images: int, folder: Path, watch: Watch) -> None:
    """Serve; paint on images, look at units and at the home page, as several visitors would."""
    command = [sys.executable, "-m", "ganatomy", "serve", str(_small(model, folder)), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            base = server.stdout.readline().strip() if server.stdout else ""
            name = json.load(urllib.request.urlopen(f"{base}api/studies"))[0]["name"]  # noqa: S310
            study = f"{base}api/studies/{name}"
            layer = f"{study}/layers/{model.layers[0]}"
            samples = watch.steps["requests"] = []
            for i in range(images):
                stroke = {
                    "action": ("draw", "remove")[i % 2],
                    "layer": model.layers[i % 3 % 2],
                    "concept": model.concept,
                }
                points = [[(i % 17) / 17, (i % 13) / 13], [0.5, (i % 7) / 7]]
                body = {"id": i, "strokes": [stroke | {"points": points}], "stream": f"visitor {i}", "number": 1}
                urls = [f"{study}/paint", f"{layer}/units/{i % 40}/card.png", base, f"{study}/changes"]
                which = i % 8  # half of all requests paint
                if which % 2 == 0 or which == 7:
                    plain = {"id": i, "strokes": body["strokes"]}
                    _ask(urls[3] if which == 7 else urls[0], plain if which == 7 else body)
                else:
                    _ask(urls[1] if which != 5 else urls[2])
                if i % watch.every == 0:
                    samples.append(Sample.of(i, server.pid))
        finally:
            server.terminate()


def _ask(address: str, body: dict[str, Any] | None = None) -> None:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        answer.read()


CASES: dict[str, Callable[[Model, int, Path, Watch], None]] = {
    f.__name__: f for f in (dissect, pool, ablate, context, quality, artifacts, web)
}
DEFAULT_IMAGES = dict.fromkeys(CASES, 10_000) | {"context": 2_000}  # at some places of each


def run(case: str, model: Model, images: int, folder: Path) -> list[Row]:
    """Run one case in this process."""
    import torch

    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from tiny_words import save_words

    torch.set_num_threads(1)
    if model.generator == SMALL_WORDS:
        model = replace(model, generator=f"{save_words(folder / 'words.pth')}?steps=2")
    watch = Watch()
    CASES[case](model, images, folder, watch)
    return rows(case, watch.steps)


def main() -> None:
    """Read the command line; run each case in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="(all)")
    parser.add_argument("--images", type=int, help="images of each case, or requests (2000 of context, 10000)")
    parser.add_argument("--model", choices=MODELS, default="church", help="what draws the images (church)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    found: list[dict[str, Any]] = []
    for case in args.cases or CASES:
        images = args.images or DEFAULT_IMAGES[case]
        if args.here:
            own = run(case, MODELS[args.model], images, args.here)
            found += [asdict(row) | {"growth": row.growth} for row in own]
            continue
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            rest = Path(folder, "temporary")
            rest.mkdir()
            command = [
                sys.executable,
                __file__,
                case,
                "--model",
                args.model,
                "--images",
                str(images),
                "--json",
                "--here",
                folder,
            ]
            environment = os.environ | {"TMPDIR": str(rest)}
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
            left = [*Path(folder).rglob("*.tmp"), *rest.iterdir()]
        if left:
            print(f"{case} left behind: {', '.join(map(str, left))}", file=sys.stderr)
        found += (own := json.loads(done.stdout))
        if not args.json:
            print(*map(_line, own), sep="\n", flush=True)
    if args.json:
        print(json.dumps(found, indent=1))


def _line(row: dict[str, Any]) -> str:
    fixed = "descriptors {}→{}, threads {}→{}".format(*row["descriptors"], *row["threads"])
    return (
        f"{row['case']:10} {row['step']:20} {row['images']:7} images: {row['first'] / 1e6:7.1f} → "
        f"{row['last'] / 1e6:7.1f} MB, {100 * row['growth']:+.2f} %, "
        f"{row['slope'] / 1e3:+.0f} kB a thousand; {fixed}"
    )


if __name__ == "__main__":
    main()
