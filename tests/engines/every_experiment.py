"""Every experiment that counts by the shard, as small as it can be, all of them in one directory."""

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file
from toy_classifier import toy_spec, write_images

import ganatomy
from ganatomy.core.tensor_files import Archive
from ganatomy.core.vocabulary import NOTHING, Concept
from ganatomy.engines import Engine
from ganatomy.models.generators.planted import UNITS
from ganatomy.models.segmenters.unet import UNet, heads

BALL = UNITS["layer1"].index("ball")
FEW: dict[str, Any] = {"images": 12, "shard": 5, "batch": 4}
ACE: dict[str, Any] = {"pool": 300, "train": 12, "held": 8, "candidates": 260, "steps": 2, "every": 1, "top": 2}
STEPS = {
    *("choosing", "measuring", "places"),
    *("levels", "evaluation", "pool", "candidates", "effects", "effect", "context", "strength", "trace"),
    *("each unit", "first order", "tried", "accuracy", "together", "real images"),
}
"""All that is counted by the shard, but what a finished study does without: the validation half, features of images."""


def given(place: Path) -> None:
    """Put the files there that experiments read, and which have to be on every machine: images and weights."""
    generator = ganatomy.open_generator("planted:")
    images = generator.observe(generator.latents(range(24), 7), []).images
    (place / "real").mkdir(parents=True)
    for i, image in enumerate(((images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()):
        Image.fromarray(image).save(place / "real" / f"{i}.png")
    vocabulary = (NOTHING, Concept("sky", "object"), Concept("tree", "object"))
    torch.manual_seed(0)
    save_file(UNet((4, 4, 8), sum(map(len, heads(vocabulary)))).state_dict(), place / "net.safetensors")
    (place / "net.json").write_text(json.dumps({"vocabulary": vocabulary}))
    write_images(place / "toys", 30)


def every_experiment(files: Path, out: Path, engine: Engine) -> None:
    """Run all of them; studies lie in `out`."""
    own, toys = {"engine": engine}, files / "toys"
    study, tells = out / "planted", out / "toys"
    ganatomy.dissect("planted:", segmenter="planted", images=60, shard=16, levels=20, out=study, **own)
    ganatomy.dissect(toy_spec(toys), segmenter=f"labels:{toys}", images=14, shard=6, levels=20, out=tells, **own)
    place: dict[str, Any] = {"layer": "layer1", "units": [BALL], "concept": "ball", **FEW, **own}
    ganatomy.ablate(study, layer="layer1", units=[BALL], **FEW, **own)
    ganatomy.insert(study, **place, at=(0, 0), pool=40)
    ganatomy.context(study, **place, pool=40, cell=2, stride=2, allowed=("box",), forbidden=("lid",))
    ganatomy.trace(study, **place, pool=40, cell=2)
    ganatomy.unit_effects(study, layer="layer1", **FEW, **own)
    ganatomy.ace(study, layer="layer1", concept="ball", sizes=(1, 2), controls=(2,), random=1, **ACE, **FEW, **own)
    ganatomy.capacity(
        study, layers=["layer1"], concept="ball", tops=(1,), cells=(1,), multiples=(1.0,), pool=40, **FEW, **own
    )
    ganatomy.best_setting(study, layers=["layer1"], concept="ball", pool=40, cell=2, **FEW, **own)
    ganatomy.accuracy(tells, layer="see", units=[0], random=1, **FEW, **own)
    ganatomy.unit_accuracy(tells, layer="see", sizes=(1,), random=1, **FEW, **own)
    images = {"real": str(files / "real"), "features": f"unet:{files / 'net.safetensors'}", "reals": 20, "shard": 7}
    ganatomy.quality(study, images=20, textures=0, **images, **own)
    ganatomy.artifacts(study, layer="layer1", images=20, top=15, draws=2, **images, **own)
    ganatomy.repair(study, layer="layer1", units=[BALL], images=20, top=15, random=2, textures=0, **images, **own)


def steps(out: Path) -> dict[str, dict[str, torch.Tensor]]:
    """Return the tensors of every step of every study, by its path; those that keep times are left out."""
    found = {}
    for path in sorted(set(out.glob("**/steps/*.npz")) - set(out.glob("**/alpha-*"))):
        found[str(path.relative_to(out))] = dict(Archive(path))
    return found


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], of: str) -> None:
    """Counts are the same to the bit, sums of floats up to rounding."""
    assert found.keys() == expected.keys(), of
    for name, tensor in expected.items():
        how = {"rtol": 1e-12, "atol": 1e-12} if tensor.dtype == torch.float64 else {"rtol": 0.0, "atol": 0.0}
        assert torch.allclose(found[name], tensor, **how, equal_nan=True), f"{of}: {name}"
