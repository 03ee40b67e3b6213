"""One small run of every experiment: functions, commands, engines and pages are tested on these."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file
from toy_classifier import toy_spec, write_images

import ganatomy
from ganatomy.cli.arguments import build
from ganatomy.cli.experiments import flag_of
from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.experiments.base import EXPERIMENTS, experiment
from ganatomy.interventions import write_edits
from ganatomy.models.segmenters.unet import UNet, heads

FEW = {"images": 6, "shard": 4, "batch": 4}
BALL: dict[str, Any] = {"layer": "layer2", "units": [10], "concept": "ball", **FEW}
LAYERS = {"layers": ["layer2"], "concept": "ball", "pool": 16, **FEW}
REAL = {"real": "real", "features": "unet:net.safetensors", "images": 20, "reals": 20, "shard": 12, "batch": 8}
SEE = {"layer": "see", "images": 24, "shard": 8, "batch": 4}
SMALL: dict[str, dict[str, Any]] = {
    "ablate": BALL,
    "unit_effects": {"layer": "layer2", **FEW},
    "insert": {**BALL, "at": [0, 0], "cell": 3, "pool": 16},
    "context": {**BALL, "cell": 8, "pool": 16},
    "apply_edits": {"edit": "edit.json", **FEW},
    "ace": {"layer": "layer2", "concept": "ball", "pool": 32, "train": 8, "held": 4, "candidates": 8, "steps": 2,
            "pairs": 2, "random": 1, "places": 2, "sizes": [1, 2], "controls": [2], "top": 2, **FEW},
    "capacity": {"tops": [2], "cells": [4], **LAYERS},
    "best_setting": {"cells": [4], **LAYERS},
    "trace": {**BALL, "cell": 8, "pool": 16},
    "accuracy": {"units": [0], **SEE},
    "unit_accuracy": {"sizes": [1, 2], **SEE},
    "artifacts": {"layer": "layer1", "top": 15, **REAL},
    "describe": {"layer": "layer2", "units": [10, 9, 2, 1, 4], "describer": "torch:planted_words:Areas",
                 "words": "sky,tree,ball,box,lid", "top": 3, "draws": 100, **FEW},
    "quality": {"textures": 8, **REAL},
    "repair": {"layer": "layer1", "units": [1], "top": 15, "textures": 0, "random": 1, "concept": "ball", "best": 1,
               **REAL},
    "invert": {"image": "real", "images": 6, "features": "unet:net.safetensors", "steps": 3, "latent_steps": 3},
    "edit_photographs": {"edit": "edit.json", "inverted": "studies/inverted"},
}  # fmt: skip
"""The options of each, in a place made by `make_place`; all in several shards."""

differing = sorted(SMALL.keys() ^ EXPERIMENTS.keys())
assert not differing, f"{', '.join(differing)}: give each experiment a small run in SMALL of {__file__}, and only those"


def make_place(place: Path, **own: Any) -> Path:
    """Put there what runs take: studies of a generator and a classifier, an edit, real images, networks."""
    generator = ganatomy.open_generator("planted:")
    edit = ganatomy.Intervention.ablate("layer2", generator.layers["layer2"], BALL["units"])
    write_edits(place / "edit.json", [edit], generator.fingerprint)
    write_real(place, generator, 24)
    eye = torch.eye(generator.layers["layer2"].units)
    save_file({"W_enc": eye, "W_dec": eye.clone(), "k": torch.tensor(4)}, place / "sae.safetensors")
    toys, few = write_images(place / "toys", 60), {"batch": 8, "shard": 16, "levels": 20, **own}
    layers, out = ["layer1", "layer2"], place / "studies"
    ganatomy.dissect("planted:", segmenter="planted", images=40, layers=layers, out=out / "generator", **few)
    inverting = {**SMALL["invert"], "image": place / "real", "features": f"unet:{place}/net.safetensors"}
    ganatomy.invert(out / "generator", out=out / "inverted", **inverting)
    ganatomy.dissect(toy_spec(toys), segmenter=f"labels:{toys}", images=30, out=out / "classifier", **few)
    return place


def write_real(place: Path, generator: Any, count: int) -> None:
    """Write images of a generator, which stand for real ones, to real/, and a network."""
    write_network(place)
    (place / "real").mkdir()
    images = generator.observe(generator.latents(range(count), 7), []).images
    for i, image in enumerate(((images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()):
        Image.fromarray(image).save(place / "real" / f"{i}.png")


def write_network(place: Path) -> None:
    """Write a feature network, net.safetensors, small as it is."""
    vocabulary = (NOTHING, Concept("sky", "object"), Concept("tree", "object"))
    torch.manual_seed(0)
    save_file(UNet((4, 4, 8), sum(map(len, heads(vocabulary)))).state_dict(), place / "net.safetensors")
    (place / "net.json").write_text(json.dumps({"vocabulary": vocabulary}))


def study_of(name: str) -> Path:
    return Path("studies") / ("generator" if experiment(name).draws else "classifier")


def small_run(name: str, **more: Any) -> Any:
    """Run an experiment as a function; the current directory is such a place."""
    return getattr(ganatomy, name)(study_of(name), **{"out": f"studies/{name}", **SMALL[name], **more})


def verbs() -> dict[str, ArgumentParser]:
    """Return the parser of each command."""
    (commands,) = build()._subparsers._group_actions  # type: ignore[union-attr]
    return dict(commands.choices.items())  # type: ignore[union-attr,arg-type]


def small_command(name: str, study: str | Path = "", *, own: bool = False) -> list[str]:
    """Return the arguments of the same run: of its verb and the switch there, or of its `own` verb."""
    entry, parts = experiment(name), []
    for key, value in [("", "") if own else entry.switch, *SMALL[name].items()]:
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        parts += [each for each in (key and flag_of(key), text) if each]
    return [name.replace("_", "-") if own else entry.verb, str(study or study_of(name)), *parts]


def small_commands(study: str | Path = "") -> list[list[str]]:
    """Return those of every experiment, and of every verb of its own."""
    switched = [name for name in EXPERIMENTS if experiment(name).switch[0]]
    return [
        *(small_command(name, study) for name in EXPERIMENTS),
        *(small_command(name, study, own=True) for name in switched),
    ]
