"""What works on this machine, what does not, and why: the first question of every bug report."""

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, entry_points, requires, version
from pathlib import Path
from time import perf_counter
from typing import Literal

from ganatomy.engines.cpus import cores as _cores
from ganatomy.engines.cpus import quota as _quota

ROOM = 1_000_000_000
"""Bytes that a study, its report and its temporary files may need."""
DEVELOPMENT = ("dev", "docs")
"""Extras that only those need who work on this package."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        topic, name: of the check.
        state: ``ok``; ``note``, it works but could be better, or is optional and missing; ``broken``, so no dissection.
        message: what was found.
        fix: what to do, if there is something to do.
    """

    topic: str
    name: str
    state: Literal["ok", "note", "broken"]
    message: str
    fix: str = ""


def examine() -> list[Finding]:
    """Check everything that a dissection rests on; whatever is broken is a finding, never an error.

    >>> {finding.topic for finding in examine()} >= {"software", "devices", "storage", "main job"}
    True
    """
    found: list[Finding] = []
    for topic, check in TOPICS.items():
        try:
            found.extend(check(topic))
        except Exception as error:  # whatever it is, it is what was asked for
            reason = str(error).partition("\n")[0]
            found.append(Finding(topic, topic, "broken", f"{type(error).__name__}: {reason}"))
    return found


def _software(topic: str) -> Iterator[Finding]:
    """Python, this package, and what it needs, by their installed versions."""
    machine = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding(topic, "python", "ok", machine)
    yield Finding(topic, "ganatomy", "ok", version("ganatomy"))
    for name, least, extra in _requirements():
        if not extra:
            yield _installed(topic, name, name, least, ("broken", "pip install --upgrade ganatomy"))


def _extras(topic: str) -> Iterator[Finding]:
    """Packages that some families of models, and the web app, need; of each extra what lacks, else what it has."""
    found: dict[str, list[Finding]] = {}
    for name, least, extra in _requirements():
        if extra and extra not in DEVELOPMENT:
            each = _installed(topic, extra, name, least, ("note", f"pip install 'ganatomy[{extra}]'"))
            found.setdefault(extra, []).append(each)
    for own in found.values():
        lacking = [each for each in own if each.state != "ok"]
        yield lacking[0] if lacking else replace(own[0], message=", ".join(each.message for each in own))


def _requirements() -> Iterator[tuple[str, str, str]]:
    """Read name, least version and extra of every requirement off this package's metadata."""
    for line in requires("ganatomy") or []:
        name = re.match(r"[\w.-]+", line)
        least, extra = re.search(r">=\s*([\d.]+)", line), re.search(r"extra\s*==\s*['\"]([\w-]+)", line)
        if name and name[0] != "ganatomy":
            yield name[0], least[1] if least else "0", extra[1] if extra else ""


def _installed(
    topic: str, title: str, name: str, least: str, otherwise: tuple[Literal["note", "broken"], str]
) -> Finding:
    state, fix = otherwise
    try:
        found = version(name)
    except PackageNotFoundError:
        return Finding(topic, title, state, f"{name} is not installed", fix)
    if _numbers(found) < _numbers(least):
        return Finding(topic, title, state, f"{name} {found} is older than {least}", fix)
    return Finding(topic, title, "ok", found if title == name else f"{name} {found}")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


def _devices(topic: str) -> Iterator[Finding]:
    """Where a model can compute, by the names that ``--device`` takes."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    yield Finding(topic, "cpu", "ok", f"{_cores()} cores, {torch.get_num_threads()} threads, {capability}")
    for i in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(i)
        yield Finding(topic, f"cuda:{i}", "ok", f"{card.name}, {card.total_memory / 1e9:.0f} GB")
    if not torch.cuda.is_available():
        why = "this torch is built without CUDA" if torch.version.cuda is None else "no NVIDIA driver or card was found"
        yield Finding(topic, "cuda", "note", why)
    if torch.backends.mps.is_available():
        yield Finding(topic, "mps", "ok", "Apple's Metal")


def _threads(topic: str) -> Iterator[Finding]:
    """Settings of the environment that make a run on a processor slow."""
    cores, quota = _cores(), _quota()
    if quota is not None and quota < cores:
        given = os.environ.get("OMP_NUM_THREADS", "")
        fits = given.isdigit() and int(given) <= max(quota, 1)
        fix = "" if fits else f"set OMP_NUM_THREADS={max(int(quota), 1)}"
        yield Finding(topic, "cores", "ok" if fits else "note", f"this container may use {quota:g} of {cores}", fix)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        given = os.environ.get(name, "")
        if given.isdigit() and int(given) > cores:
            yield Finding(topic, name, "note", f"{given} threads hinder each other on {cores} cores", f"unset {name}")
        elif given.isdigit() and int(given) < cores:
            yield Finding(topic, name, "ok", f"{given} of {cores} cores are used")
    if os.environ.get("OMP_WAIT_POLICY", "").lower() == "active":
        message = "threads that wait spin, which starves others"
        yield Finding(topic, "OMP_WAIT_POLICY", "note", message, "unset OMP_WAIT_POLICY")
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        message = "the loops that count pixels are not compiled, and a hundred times as slow"
        yield Finding(topic, "NUMBA_DISABLE_JIT", "note", message, "unset NUMBA_DISABLE_JIT")


def _storage(topic: str) -> Iterator[Finding]:
    """Directories that are written to."""
    yield _writable(topic, "temporary files", Path(tempfile.gettempdir()), "set TMPDIR to another directory", "broken")
    yield _writable(topic, "this directory", Path.cwd(), "give --out elsewhere", "note")
    from ganatomy.stats.kernels import count_unit

    compiled = Path(str(count_unit.stats.cache_path))
    fix = "set NUMBA_CACHE_DIR, or every run compiles for a minute"
    yield _writable(topic, "compiled loops", compiled, fix, "note")


def _writable(topic: str, name: str, directory: Path, fix: str, state: Literal["note", "broken"]) -> Finding:
    """Try to write into a directory, or where it would be made."""
    there = next(folder for folder in (directory, *directory.absolute().parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"here")
    except OSError as error:
        return Finding(topic, name, state, f"{directory} cannot be written ({error.strerror})", fix)
    free = shutil.disk_usage(there).free
    message = f"{directory}, {free / 1e9:.1f} GB free"
    return Finding(topic, name, "ok", message) if free >= ROOM else Finding(topic, name, "note", message, "make room")


def _models(topic: str) -> Iterator[Finding]:
    """Published models that were fetched, and what stands in the way of fetching more."""
    from ganatomy.core.cache import cache_directory
    from ganatomy.core.errors import BadFile
    from ganatomy.models.weights import MODEL_ZOO, locate

    cache = cache_directory()
    yield _writable(topic, "fetched models", cache, "set GANATOMY_CACHE to another directory", "note")
    for model in MODEL_ZOO.values():
        if model.missing == list(model.files):
            continue
        try:
            locate(model.name)
        except BadFile as error:
            yield Finding(topic, model.name, "note", str(error))
        else:
            yield Finding(topic, model.name, "ok", f"whole, and as it was fetched; open it as {model.spec}")
    for name in ("GANATOMY_OFFLINE", "GANATOMY_MIRROR"):
        if given := os.environ.get(name):
            yield Finding(topic, name, "ok", given)


def _plugins(topic: str) -> Iterator[Finding]:
    """Families that other packages add."""
    for group in ("ganatomy.generators", "ganatomy.segmenters", "ganatomy.feature_networks"):
        for entry in entry_points(group=group):
            try:
                entry.load()
            except Exception as error:  # theirs, whatever it is
                yield Finding(topic, entry.name, "note", f"{entry.value} fails: {type(error).__name__}: {error}")
            else:
                yield Finding(topic, entry.name, "ok", entry.value)


def _main_job(topic: str) -> Iterator[Finding]:
    """Draw a bundled image and name its pixels; have what counts and reports at hand."""
    import ganatomy.experiments.dissect
    import ganatomy.report.html  # noqa: F401
    from ganatomy.models.generators import open_generator
    from ganatomy.models.segmenters import open_segmenter

    start = perf_counter()
    generator, segmenter = open_generator("bundled:church"), open_segmenter("bundled:scenes")
    images = generator.observe(generator.latents(range(1), 0), list(generator.layers)).images
    found = len(set(segmenter(images).flatten().tolist())) - 1
    took = f"{1000 * (perf_counter() - start):.0f} ms"
    if found < 2:
        yield Finding(topic, topic, "broken", "the bundled image holds nothing", "install ganatomy and torch again")
    else:
        yield Finding(topic, topic, "ok", f"drew a bundled image and found {found} concepts in it ({took})")


TOPICS: dict[str, Callable[[str], Iterator[Finding]]] = {
    "software": _software,
    "extras": _extras,
    "devices": _devices,
    "threads": _threads,
    "storage": _storage,
    "models": _models,
    "plug-ins": _plugins,
    "main job": _main_job,
}
