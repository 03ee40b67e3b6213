"""The public functions, one an experiment: dissections first, then what is asked about a finished one.

Each raises `GanatomyError` where its arguments cannot be used; the message says what to do. An option is described
once, by the first function that has it.

Written by recipes/api_signatures.py from the Specs and from `ganatomy.experiments.base.EXPERIMENTS`; edit those.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ganatomy.api.calls import command, public, run_compare, run_dissect, run_experiment, run_monitor

if TYPE_CHECKING:
    from ganatomy.core.progress import Progress
    from ganatomy.engines import Engine
    from ganatomy.experiments.artifacts import Artifacts
    from ganatomy.experiments.causal.accuracy import Accuracy
    from ganatomy.experiments.causal.ace import Ace
    from ganatomy.experiments.causal.best_setting import BestSetting
    from ganatomy.experiments.causal.capacity import Capacity
    from ganatomy.experiments.causal.context import Context
    from ganatomy.experiments.causal.describe import Descriptions
    from ganatomy.experiments.causal.effects import Effect
    from ganatomy.experiments.causal.trace import Trace
    from ganatomy.experiments.causal.unit_accuracy import UnitAccuracy
    from ganatomy.experiments.causal.unit_effects import UnitEffects
    from ganatomy.experiments.compare.comparison import Comparison
    from ganatomy.experiments.dissection import Dissection
    from ganatomy.experiments.inversion.edit import EditedPhotographs
    from ganatomy.experiments.inversion.invert import Inversion
    from ganatomy.experiments.monitor.training_history import TrainingHistory
    from ganatomy.experiments.quality import Quality
    from ganatomy.experiments.repair import Repair
    from ganatomy.models.generators import Subject
    from ganatomy.models.segmenters import Segmenter

OPTION_GROUPS: Mapping[str, str] = {
    "batch": "the run",
    "shard": "the run",
    "memory": "the run",
    "images": "the sample",
    "validation": "the sample",
    "seed": "the sample",
    "calibration": "the sample",
    "real": "the sample",
    "reals": "the sample",
    "first": "the sample",
    "pool": "the sample",
    "train": "the sample",
    "held": "the sample",
    "candidates": "the sample",
    "textures": "the sample",
}
"""Under which title a help lists an option; of others, what is measured."""


@public
def dissect(
    generator: "str | Subject",
    *,
    segmenter: "str | Segmenter" = "bundled:scenes",
    layers: Sequence[str] = (),
    images: int = 1000,
    validation: str = "separate",
    seed: int = 0,
    calibration: int = 256,
    resolution: int | None = None,
    threshold: str = "pair",
    label: str = "matched",
    levels: int = 100,
    smallest: float = 0.001,
    rare: float = 0.001,
    interpretable_iou: float = 0.05,
    interpretable_accuracy: float = 0.75,
    over_control: float = 1.5,
    over_chance: float = 2.0,
    false_labels: float = 0.005,
    top: int = 10,
    batch: int = 32,
    shard: int = 256,
    memory: int | None = None,
    out: "str | Path | None" = None,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
) -> "Dissection":
    """Find what each unit of a generator draws.

    >>> ganatomy.dissect("bundled:church", images=200).units  # doctest: +SKIP

    Args:
        generator: a name, as in `open_generator`, or an open model, as of `as_generator`.
        segmenter: a name, as in `open_segmenter`, or an open segmenter; with ``dtype=auto`` it computes in bfloat16 if
            that saves time and changes few labels (bundled:scenes).
        layers: names of layers; empty for all.
        images: N, the evaluation sample: ids 0 … N-1. Levels are chosen on ids N … 2N-1 (1000).
        validation: ``separate``, or ``cross``: N images in two folds, each scored at the level chosen on the other
            (separate).
        seed: of the latents (0).
        calibration: how many images the candidate levels are measured on, from the start of the validation half (256).
        resolution: height of the label maps that are compared; None for the images' own.
        threshold: ``pair``, ``unit`` or ``max-iou``, see `choose_levels`; ``quantile:q``, the top q of a unit's raw
            activations (Network Dissection); ``upsampled-quantile:q``, of its upsampled ones (pair).
        label: which concept names a unit: ``matched``, of its matched pairs that of greatest IoU, none if there is no
            such pair; ``iou``, of all concepts that of greatest IoU; ``iqr``, of greatest IQR (published) (matched).
        levels, smallest: how many candidate levels a unit has, and the top fraction of the highest (100, 0.001).
        rare: concepts on a smaller share of the validation pixels get no score (0.001).
        interpretable_iou, interpretable_accuracy: a pair of unit and concept is interpretable above both (Figure 5)
            (0.05, 0.75).
        over_control, over_chance: an interpretable pair is matched if its IoU is more than so many times its control,
            and more than so many times its chance level, see `required_iou`; (1.5, 2).
        false_labels: both are raised by one factor where else a greater share of the units would be matched to some
            concept by their mismatched counts (0.005).
        top: how many images to show of each unit (10).
        batch: images a forward pass (32).
        shard: images between two savings (256).
        memory: how many bytes one process may take; tables that do not fit are counted in several passes, to the same
            counts. Half of what is free, if it is not given.
        out: the study directory, or a URL; the same call resumes there, or finds its answer at once. A new temporary
            one, if it is not given.
        device: where models that are opened by name compute: ``cpu``, ``cuda``, ``cuda:1`` …; ``auto`` takes a GPU if
            there is one.
        engine: counts the shards: a name, as in `open_engine`, or an open engine.
        progress: shows how far the run is.
    """
    return cast("Dissection", run_dissect(locals()))


@public
def monitor(
    checkpoints: "Sequence[str | Path]",
    *,
    out: str | Path,
    opening: str | None = None,
    steps: Sequence[int] | None = None,
    segmenter: str = "bundled:scenes",
    layers: Sequence[str] = (),
    images: int = 1000,
    validation: str = "separate",
    seed: int = 0,
    calibration: int = 256,
    resolution: int | None = None,
    threshold: str = "pair",
    label: str = "matched",
    levels: int = 100,
    smallest: float = 0.001,
    rare: float = 0.001,
    interpretable_iou: float = 0.05,
    interpretable_accuracy: float = 0.75,
    over_control: float = 1.5,
    over_chance: float = 2.0,
    false_labels: float = 0.005,
    top: int = 10,
    batch: int = 32,
    shard: int = 256,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
) -> "TrainingHistory":
    """Dissect checkpoints of one training, and follow its units from one to the next.

    >>> ganatomy.monitor(["run/1000.pth", "run/2000.pth"], out="monitor", opening="progan:{}").table  # doctest: +SKIP

    Args:
        checkpoints: files, or names of generators.
        out: the directory; what it has already is not dissected again.
        opening: what opens a file, with ``{}`` in its place.
        steps: of each checkpoint; else they are read from the names.
        segmenter: a name, as in `open_segmenter` (bundled:scenes).
        layers, images, validation, seed, calibration, resolution, threshold, label, levels: as of `dissect`.
        smallest, rare, interpretable_iou, interpretable_accuracy, over_control, over_chance: as of `dissect`.
        false_labels, top, batch, shard, device, engine, progress: as of `dissect`.
    """
    return cast("TrainingHistory", run_monitor(locals()))


@public
def compare(
    studies: "Sequence[str | Path | Dissection]",
    *,
    names: Sequence[str] | None = None,
    layer: Sequence[str] = (),
    against: str = "",
    follow: bool = False,
    draws: int = 200,
    seed: int = 0,
    images: int | None = None,
    real: str | None = None,
    reals: int | None = None,
    features: str | None = None,
    out: "str | Path | None" = None,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
) -> "Comparison":
    """Compare dissections: what do they draw, and what only one of them, beyond the error of the sample?

    >>> ganatomy.compare(["church", "livingroom"], layer=["layer4"]).changes  # doctest: +SKIP

    Args:
        studies: finished dissections, or their directories.
        names: of the studies, in their order, each once; those of their directories, if none are given.
        layer: the one that is compared, or one of each study; empty for all that they share.
        against: name of the study that the others are set against; empty for the first.
        follow: whether the studies are of one network at several moments, so that unit 5 of one is unit 5 of another.
        draws: resamples of the images that errors are taken from (200).
        seed: of the resamples (0).
        images: M, generated images (3000).
        real: name of a set of real images, as in `open_images`; ``scenes`` alone are those that a bundled generator was
            trained on. None to compare no images.
        reals: how many of them (3000).
        features: name of the feature network, as in `open_features` (bundled:scenes).
        out: a directory for the page, the tables and the figures; nothing is written if it is not given.
        device, engine, progress: as of `dissect`.
    """
    return cast("Comparison", run_compare(locals()))


@command("ablate")
def ablate(
    study: "str | Path | Dissection",
    layer: str | None = None,
    concept: str | None = None,
    *,
    layers: Sequence[str] | None = None,
    at_steps: str | None = None,
    units: Sequence[int] | None = None,
    top: int | None = None,
    by: str | None = None,
    ace: str | Path | None = None,
    at: Sequence[int] | None = None,
    cell: int | None = None,
    images: int = 200,
    first: int = 1000000,
    seed: int = 0,
    strength: float = 1.0,
    random: int = 5,
    show: int = 8,
    windows: int = 1,
    batch: int = 32,
    shard: int = 100,
    out: "str | Path | None" = None,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
    generator: "Subject | None" = None,
    segmenter: "Segmenter | None" = None,
) -> "Effect":
    """Ablate units, and measure the effect on every concept.

    >>> ganatomy.ablate("study", "layer4", "tree", top=20)  # doctest: +SKIP

    Args:
        study: a finished dissection, or its directory.
        layer: where the units are.
        concept: what they are for; it is also what an effect is read on first. Nothing, if it is not given.
        layers: several at once, in place of `layer`.
        at_steps: the first step and the last, ``1..8``: `layer` is then a block, without a step, and the same units are
            edited at each of these steps. At the step of the layer alone, if it is not given.
        units: the units themselves; None to rank them.
        top: how many of the ranking (20).
        by: ``iou`` (as dissected), ``ace`` (an optimised α; ACE has to have been run), or ``random`` (iou).
        ace: where that ACE study lies; None for its usual place next to the dissection; where there are several, that
            of the default schedule, then the published one.
        at: (row, column) or (top, left, bottom, right) in places of the layer's grid, counted from 0; everywhere if it
            is not given.
        cell: with (row, column): cell × cell places from there; one, if it is not given.
        images: how many images (200).
        first: id of the first; the default keeps clear of the images of dissections and of pools (1000000).
        seed: of the latents, and of whatever is drawn at random (0).
        strength: α, from 0 to 1 (1).
        random: how many random sets of as many units it is compared with; none of the chosen ones is in them, unless
            the layer has too few others. Of given edits, the units drawn are set to the values of those that are given.
            Where all units of every layer are inserted, it is compared once with what they are at that place in images
            without the concept (5).
        show: how many images are kept: of an ablation those that show most of the concept, else the first (8).
        windows: into how many consecutive windows the steps of ``at_steps`` are cut, in each of which the effect is
            measured as well; 1 for the whole alone (1).
        shard: images between two savings (100).
        out: the study directory, or a URL; a place next to the dissection, if it is not given.
        generator: the open generator, where an open one was dissected.
        segmenter: the open segmenter, where an open one was used.
        batch, device, engine, progress: as of `dissect`.
    """
    return cast("Effect", run_experiment("ablate", locals()))


@command("ablate", switch=("each", ""))
def unit_effects(
    study: "str | Path | Dissection",
    layer: str,
    *,
    images: int = 100,
    first: int = 1000000,
    seed: int = 0,
    estimate: bool = True,
    batch: int = 32,
    shard: int = 100,
    out: "str | Path | None" = None,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
    generator: "Subject | None" = None,
    segmenter: "Segmenter | None" = None,
) -> "UnitEffects":
    """Ablate every unit of a layer, one at a time, with the first-order estimate.

    >>> ganatomy.unit_effects("study", "layer4").table  # doctest: +SKIP

    Args:
        images: how many images (100).
        estimate: whether to make the first-order estimate too.
        study, layer, first, seed, shard, out, generator, segmenter: as of `ablate`.
        batch, device, engine, progress: as of `dissect`.
    """
    return cast("UnitEffects", run_experiment("unit_effects", locals()))


@command("insert", needed=("concept",))
def insert(
    study: "str | Path | Dissection",
    layer: str | None = None,
    concept: str | None = None,
    *,
    layers: Sequence[str] | None = None,
    at_steps: str | None = None,
    units: Sequence[int] | None = None,
    top: int | None = None,
    by: str | None = None,
    ace: str | Path | None = None,
    at: Sequence[int] | None = None,
    cell: int | None = None,
    images: int = 200,
    first: int = 1000000,
    seed: int = 0,
    strength: float = 1.0,
    multiple: float | None = None,
    constant: str | None = None,
    random: int = 5,
    show: int = 8,
    pool: int | None = None,
    windows: int = 1,
    batch: int = 32,
    shard: int = 100,
    out: "str | Path | None" = None,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
    generator: "Subject | None" = None,
    segmenter: "Segmenter | None" = None,
) -> "Effect":
    """Insert a concept: set units to what they are where it is, and measure the effect on every concept.

    >>> ganatomy.insert("study", concept="door", at=(9, 6)).table  # doctest: +SKIP

    Args:
        concept: what they are for; it is also what an effect is read on first; it must be given.
        multiple: they are set to this many times k (1).
        constant: ``k``, one value a unit, or ``place``, one a unit at each place (k).
        pool: how many images k is measured on (2000).
        study, layer, layers, at_steps, units, top, by, ace, at, cell, images, first, seed: as of `ablate`.
        strength, random, show, windows, shard, out, generator, segmenter: as of `ablate`.
        batch, device, engine, progress: as of `dissect`.
    """
    return cast("Effect", run_experiment("insert", locals()))


@command("insert", switch=("at", "each"), needed=("concept",))
def context(
    study: "str | Path | Dissection",
    layer: str | None = None,
    concept: str | None = None,
    *,
    layers: Sequence[str] | None = None,
    at_steps: str | None = None,
    units: Sequence[int] | None = None,
    top: int | None = None,
    by: str | None = None,
    ace: str | Path | None = None,
    images: int = 48,
    first: int = 1000000,
    seed: int = 0,
    multiple: float | None = None,
    strength: float = 1.0,
    constant: str | None = None,
    cell: int | None = None,
    pool: int | None = None,
    stride: int | None = None,
    min_frequency: float = 0.0,
    responsive: float = 0.2,
    show: int = 8,
    draws: int = 2000,
    grammar: str | None = None,
    allowed: Sequence[str] | None = None,
    forbidden: Sequence[str] | None = None,
    batch: int = 32,
    shard: int = 10,
    out: "str | Path | None" = None,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
    generator: "Subject | None" = None,
    segmenter: "Segmenter | None" = None,
) -> "Context":
    """Insert a concept at every place of many images: where does the model accept it?

    >>> ganatomy.context("study", concept="door").under  # doctest: +SKIP

    Args:
        concept: of which k is the class constant, and whose pixels are counted; it must be given.
        images: how many images (48).
        cell: a place is cell × cell of the layer's grid; of several layers, of the last one's (1).
        stride: from one place to the next, in cells of the grid; None for as far as a place is wide.
        min_frequency: `Context.under` and `Context.verdict` are of the places only that, in the pool, show the concept
            at least so often, as a share of the place that shows it most; 0 for all places (0).
        responsive: a place is responsive if the concept gains at least this share of its pixels (0.2).
        show: the first so many images are kept, with their maps (8).
        draws: of the bootstrap of `Context.verdict` (2000).
        grammar: category of scenes whose grammar says where the object may be; None for that of the generator's card,
            if it is a bundled one.
        allowed, forbidden: names of what it may be inserted on, and of what it may not; None for what the grammar says.
        shard: images between two savings (10).
        study, layer, layers, at_steps, units, top, by, ace, first, seed, strength, out: as of `ablate`.
        generator, segmenter: as of `ablate`.
        multiple, constant, pool: as of `insert`.
        batch, device, engine, progress: as of `dissect`.
    """
    return cast("Context", run_experiment("context", locals()))


@command("apply")
def apply_edits(
    study: "str | Path | Dissection",
    *,
    edit: str | Path,
    images: int = 200,
    first: int = 1000000,
    seed: int = 0,
    random: int = 5,
    show: int = 8,
    batch: int = 32,
    shard: int = 100,
    out: "str | Path | None" = None,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
    generator: "Subject | None" = None,
    segmenter: "Segmenter | None" = None,
) -> "Effect":
    """Make the edits of a file, and measure their effect on every concept.

    >>> ganatomy.apply_edits("study", edit="edit.json").table  # doctest: +SKIP

    Args:
        edit: a file of edits, such as ``edit.json`` of a study.
        study, images, first, seed, random, show, shard, out, generator, segmenter: as of `ablate`.
        batch, device, engine, progress: as of `dissect`.
    """
    return cast("Effect", run_experiment("apply_edits", locals()))


@command("ace", several="concept")
def ace(
    study: "str | Path | Dissection",
    layer: str,
    concept: str,
    *,
    at_steps: str | None = None,
    schedule: str = "fast",
    images: int | None = None,
    first: int | None = None,
    seed: int | None = None,
    pool: int | None = None,
    train: int | None = None,
    held: int | None = None,
    candidates: int | None = None,
    together: int | None = None,
    apart: int | None = None,
    ablated: str | None = None,
    start: str | None = None,
    steps: int | None = None,
    pairs: int | None = None,
    optimiser: str | None = None,
    rate: float | None = None,
    decay: bool | None = None,
    penalty: float | None = None,
    norm: str | None = None,
    every: int | None = None,
    patience: int | None = None,
    top: int | None = None,
    sizes: Sequence[int] | None = None,
    random: int | None = None,
    controls: Sequence[int] | None = None,
    places: int | None = None,
    batch: int | None = None,
    shard: int | None = None,
    out: "str | Path | None" = None,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
    generator: "Subject | None" = None,
    segmenter: "Segmenter | None" = None,
) -> "Ace":
    """Find the units that make a concept appear and vanish: their average causal effect.

    >>> ganatomy.ace("study", "layer4", "tree").effects  # doctest: +SKIP

    Args:
        concept: its name.
        schedule: ``fast``, ``quick``, or ``published``, the numbers of the published run (fast).
        pool: images in which places are looked for, shared by all concepts of the layer (2000).
        train, held: images in which the concept is ablated, and as many in which it is inserted, to optimise on and to
            decide when to stop (160, 80).
        candidates: how often it is tried to insert the concept with all units, to find where it can be (320).
        together, apart: places of one image that are tried at once, and how far apart they are at least (4, 4).
        ablated: in training, units are ablated on the whole "map", as when they are measured, or at one "place" (map).
        start: alpha begins as the "gradient" of the effect, or as the "iou" of units and concept (Eqn 7) (gradient).
        steps, pairs: updates at most, and images of each kind for each (60, 8).
        optimiser, rate, decay: "adam" or "sgd"; its learning rate; whether that falls to 0 over the steps (adam, 0.05).
        penalty, norm: weight of the "squared" norm of alpha in the loss, or of the "norm" as Eqn 6 prints it (0.005,
            squared).
        every, patience: updates between two evaluations of the held-out effect, and evaluations without a gain until
            the end. The answer is α of the best evaluation that beats the start by more than its error, or else the
            start. With patience 0 all updates are made and α of the last is the answer (10, 6).
        top: units that are kept; the others' alpha is set to 0 (20).
        sizes: of the sets whose ablation is measured (Figure 4) (1 to 30).
        random, controls: how many sets of random units are measured as controls, and of which sizes (3, 5,10,20,30).
        places: of each image at which a set is inserted, one at a time, to measure its effect (8).
        study, layer, at_steps, first, seed, shard, out, generator, segmenter: as of `ablate`.
        images: as of `unit_effects`.
        batch, device, engine, progress: as of `dissect`.
    """
    return cast("Ace", run_experiment("ace", locals()))


@command("capacity")
def capacity(
    study: "str | Path | Dissection",
    layers: Sequence[str],
    concept: str,
    *,
    by: Sequence[str] = ("iou",),
    tops: Sequence[int] = (20, 40),
    images: int = 200,
    first: int = 1000000,
    seed: int = 0,
    cells: Sequence[int] = (1, 2, 3),
    least: float = 0.2,
    donors: int = 64,
    margin: int = 1,
    multiples: Sequence[float] = (1.0, 2.0, 3.0),
    on: Sequence[str] = (),
    min_frequency: float = 0.0,
    pool: int = 2000,
    batch: int = 32,
    shard: int = 100,
    out: "str | Path | None" = None,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
    generator: "Subject | None" = None,
    segmenter: "Segmenter | None" = None,
) -> "Capacity":
    """Insert a concept in every way there is, at one place of each image.

    >>> ganatomy.capacity("study", ["layer4"], "door", on=["building"]).table  # doctest: +SKIP

    Args:
        layers: which to try.
        concept: of which k is the class constant, and whose pixels are counted.
        by: rankings of the units: ``iou``, ``random``, and ``ace`` once it has been run (iou).
        tops: so many of the units of each ranking (20,40).
        cells: a place is cell × cell of the layer's grid (1,2,3).
        least: the concept appears where it newly covers at least this share of the place's pixels; an image that shows
            less of it lends nothing (0.2).
        donors: how many of them, those that show most of the concept at one place, lend their features to others (64).
        margin: so many places around the donor's are put in too (1).
        multiples: units are set to so many times k (1,2,3).
        on: names of objects; only places that show mostly one of them are drawn. Empty for all.
        min_frequency: only places are drawn that, in the pool, show the concept at least so often, as a share of the
            place that shows it most; 0 for all (0).
        study, images, first, seed, shard, out, generator, segmenter: as of `ablate`.
        pool: as of `insert`.
        batch, device, engine, progress: as of `dissect`.
    """
    return cast("Capacity", run_experiment("capacity", locals()))


@command("setting", several="concept", needed=("concept",))
def best_setting(
    study: "str | Path | Dissection",
    layers: Sequence[str] | None = None,
    concept: str | None = None,
    *,
    at_steps: str | None = None,
    images: int = 240,
    first: int = 3000000,
    seed: int = 0,
    values: Sequence[tuple[str, float, float]] = (
        ("k", 1.0, 1.0),
        ("k", 2.0, 1.0),
        ("k", 3.0, 1.0),
        ("k", 4.0, 1.0),
        ("place", 1.0, 1.0),
        ("k", 1.0, 0.85),
    ),
    cells: Sequence[int] | None = None,
    pool: int = 2000,
    grammar: str | None = None,
    searched: int = 2400,
    batch: int = 32,
    shard: int = 16,
    out: "str | Path | None" = None,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
    generator: "Subject | None" = None,
    segmenter: "Segmenter | None" = None,
) -> "BestSetting":
    """Find the setting that inserts a concept best.

    >>> ganatomy.best_setting("study", ["layer5", "layer6"], "door").measured  # doctest: +SKIP

    Args:
        layers: all set at once; the last that can be aimed at, if none are given. With at_steps the block.
        concept: what is inserted; it must be given.
        images: so many that have a free place where the object may be, and so many that have one where it may not: half
            of them choose, the others are measured on (240).
        first: id of the first; the default keeps clear of the images of dissections and of pools (3000000).
        values: constants, multiples and strengths: all units are tried with multiples of 1, others with strengths of 1
            (k:1.0:1.0 k:2.0:1.0 k:3.0:1.0 k:4.0:1.0 place:1.0:1.0 k:1.0:0.85).
        cells: a place is so many places of the grid of `places` high and wide; each is tried (1).
        pool: on how many images constants are measured (2000).
        grammar: category of scenes whose renderer says where the object may be; None for the generator's own.
        searched: among so many images they are looked for, at most (2400).
        shard: images between two savings (16).
        study, at_steps, seed, out, generator, segmenter: as of `ablate`.
        batch, device, engine, progress: as of `dissect`.
    """
    return cast("BestSetting", run_experiment("best_setting", locals()))


@command("trace", needed=("concept",))
def trace(
    study: "str | Path | Dissection",
    layer: str | None = None,
    concept: str | None = None,
    *,
    layers: Sequence[str] | None = None,
    at_steps: str | None = None,
    units: Sequence[int] | None = None,
    top: int | None = None,
    by: str | None = None,
    ace: str | Path | None = None,
    images: int = 100,
    first: int = 1000000,
    seed: int = 0,
    multiple: float | None = None,
    strength: float = 1.0,
    constant: str | None = None,
    cell: int | None = None,
    pool: int | None = None,
    places: int = 16,
    visible: float = 0.2,
    show: int = 4,
    batch: int = 32,
    shard: int = 20,
    out: "str | Path | None" = None,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
    generator: "Subject | None" = None,
    segmenter: "Segmenter | None" = None,
) -> "Trace":
    """Insert a concept at one place at a time, and follow the change through every later layer.

    >>> ganatomy.trace("study", concept="door").lines  # doctest: +SKIP

    Args:
        places: how many places are drawn from each image; 0 for all (16).
        visible: an edit was visible if the concept gained at least this share of the place's pixels (0.2).
        show: the first so many images get a map: every place of theirs is tried (4).
        shard: images between two savings (20).
        study, layer, layers, at_steps, units, top, by, ace, first, seed, strength, out: as of `ablate`.
        generator, segmenter: as of `ablate`.
        concept, cell: as of `context`.
        images: as of `unit_effects`.
        multiple, constant, pool: as of `insert`.
        batch, device, engine, progress: as of `dissect`.
    """
    return cast("Trace", run_experiment("trace", locals()))


@command("accuracy")
def accuracy(
    study: "str | Path | Dissection",
    layer: str,
    concept: str | None = None,
    *,
    units: Sequence[int] | None = None,
    top: int | None = None,
    by: str | None = None,
    ace: str | Path | None = None,
    images: int = 1000,
    first: int = 0,
    seed: int = 0,
    random: int = 20,
    batch: int = 64,
    shard: int = 256,
    out: "str | Path | None" = None,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
    generator: "Subject | None" = None,
    segmenter: "Segmenter | None" = None,
) -> "Accuracy":
    """Ablate units of a classifier, and measure the accuracy of each class.

    >>> ganatomy.accuracy("study", "layer3", "water").classes  # doctest: +SKIP

    Args:
        images: how many images (1000).
        first: id of the first image: 0, as the images of a set are few (0).
        random: how many random sets of as many units they are compared with (20).
        batch: images a forward pass (64).
        study, layer, concept, units, top, by, ace, seed, out, generator, segmenter: as of `ablate`.
        shard, device, engine, progress: as of `dissect`.
    """
    return cast("Accuracy", run_experiment("accuracy", locals()))


@command("accuracy", switch=("each", ""))
def unit_accuracy(
    study: "str | Path | Dissection",
    layer: str,
    *,
    images: int = 1000,
    first: int = 0,
    seed: int = 0,
    classes: Sequence[str] = (),
    sizes: Sequence[int] = (1, 2, 4, 8, 12, 16, 20),
    random: int = 5,
    batch: int = 64,
    shard: int = 256,
    out: "str | Path | None" = None,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
    generator: "Subject | None" = None,
    segmenter: "Segmenter | None" = None,
) -> "UnitAccuracy":
    """Ablate every unit of a classifier alone, then those that each class needs most together.

    >>> ganatomy.unit_accuracy("study", "layer3").table  # doctest: +SKIP

    Args:
        images: how many images: units are chosen on the first half of them, effects measured on the second (1000).
        classes: those whose best units are ablated together; all, if none is named.
        sizes: how many units at a time; sizes that leave the layer no unit are left out (1,2,4,8,12,16,20).
        random: how many random orders of units they are compared with (5).
        study, layer, seed, out, generator, segmenter: as of `ablate`.
        first, batch: as of `accuracy`.
        shard, device, engine, progress: as of `dissect`.
    """
    return cast("UnitAccuracy", run_experiment("unit_accuracy", locals()))


@command("artifacts")
def artifacts(
    study: "str | Path | Dissection",
    layer: str,
    *,
    real: str,
    annotations: str | Path | None = None,
    threshold: float | None = None,
    images: int = 3000,
    first: int = 1000000,
    seed: int = 0,
    reals: int = 3000,
    features: str = "bundled:scenes",
    top: int = 300,
    draws: int = 5,
    batch: int = 32,
    shard: int = 500,
    out: "str | Path | None" = None,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
    generator: "Subject | None" = None,
    segmenter: "Segmenter | None" = None,
) -> "Artifacts":
    """Find the units that spoil the images: those whose top images are farthest from real ones.

    >>> ganatomy.artifacts("study", "layer4", real="scenes:church").table  # doctest: +SKIP

    Args:
        real: name of a set of real images, as in `open_images`; ``scenes`` alone are those that a bundled generator was
            trained on.
        annotations: the database of human annotations to compare with: a file, or a URL; none, if it is not given.
        threshold: the distance from which on units are left out of the counts of concepts; None to leave out none.
        top: m, images of each unit (300).
        draws: how many times `top` images are drawn at random, for comparison (5).
        shard: images between two savings (500).
        study, layer, first, seed, out, generator, segmenter: as of `ablate`.
        images, reals, features: as of `compare`.
        batch, device, engine, progress: as of `dissect`.
    """
    return cast("Artifacts", run_experiment("artifacts", locals()))


@command("describe")
def describe(
    study: "str | Path | Dissection",
    layer: str | None = None,
    *,
    describer: str,
    words: str | Sequence[str] | None = None,
    units: Sequence[int] | None = None,
    at_steps: str | None = None,
    images: int = 200,
    first: int = 1000000,
    seed: int = 0,
    top: int = 10,
    crop: float = 0.5,
    draws: int = 1000,
    chance: float = 0.01,
    random: int = 2,
    show: int = 8,
    batch: int = 32,
    shard: int = 50,
    out: "str | Path | None" = None,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
    generator: "Subject | None" = None,
    segmenter: "Segmenter | None" = None,
) -> "Descriptions":
    """Describe units in words, and test by ablation whether what is described goes.

    >>> ganatomy.describe("study", "layer4", describer="clip:DIR", words="tree,door,sky").table  # doctest: +SKIP

    Args:
        layer: where the units are; the only one that was dissected, if it is not given.
        describer: name of a model that describes images and words by vectors of one space, ``clip:DIR`` or a module
            with a method ``words``; or of one that writes captions, ``caption:DIR`` or a module with a method
            ``captions``; as in `open_features`.
        words: to choose from, with commas between them, or a list; or a file with one a line. If they are not given,
            those of the captions that the model writes.
        units: which units; all, if they are not given.
        images: how many random images the images of a unit are compared with (200).
        top: how many images show a unit: of those that the dissection keeps, the ones where it is greatest (10).
        crop: of each, the part is compared in which the unit is greatest on average, whose sides are that share of the
            image's, with the same part of random images; 1 for whole images (0.5).
        draws: so many sets of as many random images show how well the best of the words fits by chance (1000).
        chance: a word describes a unit if the best word of at most this share of these sets fits as well (0.01).
        random: so many other units, active in an image, are each ablated there alone, for comparison (2).
        show: of so many units, those that are described best, images are kept, before and after (8).
        shard: images between two savings (50).
        study, at_steps, first, seed, out, generator, segmenter: as of `ablate`.
        batch, device, engine, progress: as of `dissect`.
    """
    return cast("Descriptions", run_experiment("describe", locals()))


@command("quality")
def quality(
    study: "str | Path | Dissection",
    *,
    real: str,
    images: int = 3000,
    first: int = 1000000,
    seed: int = 0,
    reals: int = 3000,
    features: str = "bundled:scenes",
    textures: int = 500,
    batch: int = 32,
    shard: int = 500,
    out: "str | Path | None" = None,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
    generator: "Subject | None" = None,
    segmenter: "Segmenter | None" = None,
) -> "Quality":
    """Measure how far a model's images are from real ones.

    >>> ganatomy.quality("study", real="scenes:church").table  # doctest: +SKIP

    Args:
        textures: how many images of either kind are compared by their patches; 0 for none (500).
        study, first, seed, out, generator, segmenter: as of `ablate`.
        real, shard: as of `artifacts`.
        images, reals, features: as of `compare`.
        batch, device, engine, progress: as of `dissect`.
    """
    return cast("Quality", run_experiment("quality", locals()))


@command("repair")
def repair(
    study: "str | Path | Dissection",
    layer: str,
    concept: str | None = None,
    *,
    real: str,
    worst: int | None = None,
    ranking: str | Path | None = None,
    flagged: bool = False,
    annotations: str | Path | None = None,
    units: Sequence[int] | None = None,
    best: int | None = None,
    at_steps: str | None = None,
    images: int = 3000,
    first: int = 4000000,
    seed: int = 0,
    reals: int = 3000,
    features: str = "bundled:scenes",
    top: int | None = None,
    random: int = 5,
    textures: int = 500,
    show: int = 6,
    counted: int = 200,
    batch: int = 32,
    shard: int = 500,
    out: "str | Path | None" = None,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
    generator: "Subject | None" = None,
    segmenter: "Segmenter | None" = None,
) -> "Repair":
    """Ablate units that spoil the images, measure whether that helps, and write the repaired generator.

    >>> ganatomy.repair("study", "layer4", real="scenes:church", worst=20).opens  # doctest: +SKIP

    Args:
        concept: the concept that the last set is to remove; it is then measured what else changes. None, if it is not
            given.
        worst: so many of the ranking by `artifacts`, which is run if it was not; none, if it is not given.
        ranking: the directory of that ranking; that of the same options, if it is not given.
        flagged: those that people annotated; takes `annotations`.
        annotations: the database of human annotations: a file, or a URL; none, if it is not given.
        units: these; none, if they are not given.
        best: so many of those of greatest IoU with the `concept`; 20, if it is not given.
        first: id of the first image; the default keeps clear of those that units are ranked by (4000000).
        top: of the `images`, how many are the sample in which the units of all sets are greatest (500).
        random: sets of as many units as the last has, none of any set in them if there are others (5).
        show: images of either sample that are shown (6).
        counted: of the plain images, how many that is measured on (200).
        study, layer, at_steps, seed, out, generator, segmenter: as of `ablate`.
        real, shard: as of `artifacts`.
        images, reals, features: as of `compare`.
        textures: as of `quality`.
        batch, device, engine, progress: as of `dissect`.
    """
    return cast("Repair", run_experiment("repair", locals()))


@command("invert")
def invert(
    study: "str | Path | Dissection",
    layer: str | None = None,
    *,
    image: str | Path,
    images: int = 128,
    first: int = 1000000,
    seed: int = 0,
    features: str = "bundled:scenes",
    prompt: str | None = None,
    steps: int = 80,
    latent_steps: int = 40,
    batch: int = 4,
    shard: int = 4,
    out: "str | Path | None" = None,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
    generator: "Subject | None" = None,
    segmenter: "Segmenter | None" = None,
) -> "Inversion":
    """Find the latents of photographs, and how exactly the model draws them.

    >>> ganatomy.invert("study", image="photograph.png").table  # doctest: +SKIP

    Args:
        layer: where an offset is added, of a generator whose latents are not found otherwise; the last layer of at most
            8 × 8 places, if none is given.
        image: a photograph, or a directory of them; each is cut to the shape of the model's images.
        images: how many images of the model a photograph is compared with; it starts from the nearest of them (128).
        features: name of the feature network, as in `open_features`, by which they are compared (bundled:scenes).
        prompt: of the photographs, one of the model's, where it draws from prompts; that of the nearest image, if none
            is given.
        steps: of optimisation of the offset, at most; a photograph whose loss stops falling takes fewer (80).
        latent_steps: of optimisation of the latent before, at most; with 0 it stays that of the nearest image (40).
        batch: images a forward pass (4).
        shard: images between two savings (4).
        study, first, seed, out, generator, segmenter: as of `ablate`.
        device, engine, progress: as of `dissect`.
    """
    return cast("Inversion", run_experiment("invert", locals()))


@command("edit-photographs")
def edit_photographs(
    study: "str | Path | Dissection",
    *,
    edit: str | Path,
    inverted: str | Path,
    batch: int = 4,
    shard: int = 4,
    out: "str | Path | None" = None,
    device: str = "auto",
    engine: "str | Engine" = "local",
    progress: "Progress | None" = None,
    generator: "Subject | None" = None,
    segmenter: "Segmenter | None" = None,
) -> "EditedPhotographs":
    """Make the edits of a file in photographs that were inverted.

    >>> ganatomy.edit_photographs("study", edit="edit.json", inverted="inversion").table  # doctest: +SKIP

    Args:
        edit: a file of edits, such as ``edit.json`` of a study, or one that the paint page saves.
        inverted: the study of ``ganatomy invert``.
        study, out, generator, segmenter: as of `ablate`.
        batch, shard: as of `invert`.
        device, engine, progress: as of `dissect`.
    """
    return cast("EditedPhotographs", run_experiment("edit_photographs", locals()))
