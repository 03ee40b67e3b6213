"""The segmenter's recipe: what it learns from, and that stopping, resuming and folding change nothing."""

import argparse
import itertools
import json
from pathlib import Path

import pytest
import torch
import train_segmenter as recipe
from torch import nn

from ganatomy.core.fingerprint import file_sha256
from ganatomy.models.segmenters import open_segmenter
from ganatomy.models.segmenters.unet import UNet, heads
from ganatomy.scenes import VOCABULARY, render

ARGS = argparse.Namespace(categories=["church", "livingroom"], batch=4, size=16, steps=20, seed=3, rate=1e-3)


def trained(steps: int = 3) -> tuple[UNet, torch.optim.Optimizer]:
    net = UNet([4, 8], sum(map(len, heads(VOCABULARY))), nn.BatchNorm2d)
    adam = torch.optim.AdamW(net.parameters(), lr=0.01)
    weights = recipe.class_weights(ARGS)
    for images, labels in itertools.islice(recipe.batches(ARGS, 0), steps):
        adam.zero_grad()
        recipe.loss_of(net, images, labels, weights).backward()
        adam.step()
    return net, adam


def test_heads_number_what_the_planes_show() -> None:
    labels = torch.from_numpy(render("church", range(2)).labels)
    own = recipe.local_labels(labels)
    for plane, head in enumerate(heads(VOCABULARY)):
        assert torch.equal(torch.tensor(head)[own[:, plane]], labels[:, plane].long())


def test_a_batch_depends_on_its_number_only() -> None:
    whole = list(recipe.batches(ARGS, 0))
    assert len(whole) == ARGS.steps
    for first in (1, 15, 16):
        for (a, b), (c, d) in zip(recipe.batches(ARGS, first), whole[first:], strict=True):
            assert torch.equal(a, c)
            assert torch.equal(b, d)
    assert len({tuple(images.flatten().tolist()) for images, _ in whole}) == ARGS.steps


@pytest.mark.slow
def test_resuming_goes_on_where_it_stopped(tmp_path: Path) -> None:
    net, adam = trained()
    recipe.save(tmp_path / "c.safetensors", net, adam, 3)
    again, its_adam = trained(1)
    assert recipe.resume(tmp_path / "c.safetensors", again, its_adam) == 3
    images, labels = next(recipe.batches(ARGS, 3))
    for each, optimiser in ((net, adam), (again, its_adam)):
        optimiser.zero_grad()
        recipe.loss_of(each, images, labels, recipe.class_weights(ARGS)).backward()
        optimiser.step()
    for name, value in net.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_folding_the_norms_changes_nothing() -> None:
    net, _ = trained()
    images = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(recipe.folded(net.eval())(images), net(images), atol=1e-4, rtol=1e-4)


def test_every_distortion_keeps_images_images() -> None:
    import distortions

    images = torch.from_numpy(render("church", range(8), 32).images) / 127.5 - 1
    for distortion in distortions.DISTORTIONS:
        source = torch.Generator().manual_seed(0)
        out = distortion(images, source)
        assert out.shape == images.shape
        change = float((out.clamp(-1, 1) - images).abs().mean())
        assert 0.005 < change < 0.4, f"{distortion.__name__} changes a pixel by {change:.3f} of 2"


def test_labels_move_with_their_images() -> None:
    """Images whose colour is their label: far from borders, colour and label still agree after the move."""
    import distortions

    labels = torch.zeros(8, 1, 32, 32, dtype=torch.long)
    labels[:, :, 8:20, 4:16] = 1
    images = (labels * 2.0 - 1).expand(8, 3, 32, 32)
    moved, found = distortions.moved(images, labels, torch.Generator().manual_seed(0))
    sure = moved[:, :1].abs() > 0.99
    assert float(sure.float().mean()) > 0.7
    assert torch.equal((moved[:, :1] > 0)[sure], (found == 1)[sure])
    assert not torch.equal(found, labels)


@pytest.mark.slow
def test_a_run_ends_in_a_segmenter_with_a_card(tmp_path: Path) -> None:
    file = tmp_path / "tiny.safetensors"
    options = ["--steps", "3", "--batch", "4", "--size", "16", "--widths", "4", "8", "--held-out", "4"]
    recipe.main(["--out", str(tmp_path), "--export", str(file), *options])
    card = json.loads(file.with_suffix(".json").read_text())
    assert (card["name"], card["kind"], card["family"], card["images"]) == ("tiny", "segmenter", "unet", 12)
    assert card["sha256"] == file_sha256(file)
    assert 0 <= card["scores"]["object mIoU"] <= 1
    assert tuple(open_segmenter(f"unet:{file}").vocabulary) == VOCABULARY
    before = file.read_bytes()
    recipe.main(["--out", str(tmp_path), "--export", str(file), *options])
    assert file.read_bytes() == before, "a finished run trained on"
