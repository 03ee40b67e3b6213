import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import train_generator
from gan.evaluation import failing
from gan.images import RenderedImages
from gan.networks import EqualConv as Conv
from gan.training import Schedule, Training, at_stage

from ganatomy.models.generators import open_generator, open_subject

SMALL = Schedule(
    sizes=(8, 8, 6, 4), images=160, stable=(32, 48), fade=16, decay=32, batch=(8, 4, 4),
    first=16, max_rendered=40, report_every=40, evaluate_every=40, half_life=50,
)  # fmt: skip


def noise(ids: range) -> np.ndarray:
    return np.stack([np.random.default_rng(i).integers(0, 256, (3, 16, 16), np.uint8) for i in ids])


def silent(_: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, Any]:
    return {}


def training(directory: Path, schedule: Schedule = SMALL) -> Training:
    return Training(schedule, directory, RenderedImages(directory / "images.u8", 16, noise), seed=0)


def weights(trained: Training) -> torch.Tensor:
    networks = (trained.generator, trained.discriminator, trained.averaged)
    return torch.cat([p.detach().flatten() for network in networks for p in network.parameters()])


@pytest.mark.slow
def test_the_whole_schedule_ends_in_a_generator_that_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        train_generator, "evaluation", lambda *_, **__: lambda draw: {"frechet": float(draw(torch.zeros(1, 8)).std())}
    )
    asset = tmp_path / "asset.safetensors"
    base = ["church", "--tiny", "--out", str(tmp_path / "run")]
    train_generator.main(base)
    train_generator.main([*base, "--export", str(asset)])
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["side"] for line in lines] == [8, 32, 64, 64]
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == len(lines)
    card = json.loads(asset.with_suffix(".json").read_text())
    assert card["images"] == train_generator.TINY.images
    assert card["recipe"].endswith("church --seed 0 --stable 64 64 64 64 --images 400")
    assert card["scores"] == {"frechet": pytest.approx(lines[-1]["frechet"], abs=1e-4)}

    trained = Training(train_generator.TINY, tmp_path / "run", RenderedImages(tmp_path / "p.u8", 64, noise), seed=0)
    trained.load(trained.checkpoint)
    generator = open_generator(f"progan:{asset}")
    z = generator.latents(range(2), seed=0)
    torch.testing.assert_close(generator.observe(z, []).images, trained.draw(z).clone(), atol=1e-5, rtol=1e-5)

    discriminator = tmp_path / "discriminator.safetensors"
    train_generator.main([*base, "--discriminator", str(discriminator)])
    card = json.loads(discriminator.with_suffix(".json").read_text())
    assert card["options"] == {"images": "scenes:church"}
    assert set(card["scores"]) == {"scenes", "drawn"}
    opened = open_subject(f"discriminator:{discriminator}?images=scenes:church")
    latents = opened.latents(range(4), 0)
    scores = opened.rest(latents, "layer4").output
    with torch.no_grad():  # four images are one group, which differs about as much as others
        expected = trained.discriminator(opened.observe(latents, []).images, 4, 1.0)
    torch.testing.assert_close(scores[:, 0], expected, atol=0.1, rtol=0.1)


def test_a_compact_checkpoint_is_small_and_goes_on(tmp_path: Path) -> None:
    first = training(tmp_path / "first")
    first.dataset.grow(SMALL.rendered(0))
    for _ in range(6):
        first.step()
    first.save()
    first.save_compact(tmp_path / "compact.pt")
    assert (tmp_path / "compact.pt").stat().st_size < 0.5 * first.checkpoint.stat().st_size
    second = training(tmp_path / "second")
    second.load(tmp_path / "compact.pt")
    assert second.seen == first.seen
    for own, other in zip(second.generator.parameters(), first.generator.parameters(), strict=True):
        torch.testing.assert_close(own, other, atol=1e-3, rtol=1e-3)
    second.dataset.grow(SMALL.rendered(0))
    losses = first.step(), second.step()
    assert losses[1] == pytest.approx(losses[0], abs=0.05)
    assert second.optimizers[0].state_dict()["state"][0]["step"] == first.optimizers[0].state_dict()["state"][0]["step"]


def test_a_training_that_was_killed_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole, killed = training(tmp_path / "whole"), training(tmp_path / "killed")
    whole.run(silent)
    killed.dataset.grow(SMALL.rendered(0))
    for _ in range(7):
        killed.step()
    killed.save()
    killed.step()
    resumed = training(tmp_path / "killed")
    resumed.load(resumed.checkpoint)
    resumed.run(silent)
    assert resumed.seen == whole.seen == SMALL.images
    assert torch.equal(weights(resumed), weights(whole))


def test_a_cooldown_ends_after_its_images_also_when_it_was_killed(tmp_path: Path) -> None:
    early = training(tmp_path / "a")
    early.dataset.grow(16)
    while early.seen < 100:
        early.step()
    early.save()
    cooled = training(tmp_path / "b")
    cooled.load(early.checkpoint)
    cooled.cool_down(40)
    assert cooled.schedule.learning_rate(120) == pytest.approx(SMALL.rate / 2)
    cooled.dataset.grow(16)
    cooled.step()
    cooled.save()
    again = training(tmp_path / "b")
    again.load(again.checkpoint)
    again.cool_down(40)
    again.run(silent)
    assert again.seen == 140
    assert again.schedule.learning_rate(140) == 0


def test_the_schedule_spends_its_images_as_stated() -> None:
    assert [SMALL.stage(n) for n in (0, 31, 32, 40, 48, 79, 80, 88, 96, 10_000)] == [
        (0, 1.0), (0, 1.0), (1, 0.0), (1, 0.5), (1, 1.0), (1, 1.0), (2, 0.0), (2, 0.5), (2, 1.0), (2, 1.0),
    ]  # fmt: skip
    assert [SMALL.learning_rate(n) / SMALL.rate for n in (0, 128, 144, 160)] == [1, 1, 0.5, 0]
    assert len(Schedule().sizes) == len(Schedule().stable) + 2
    assert len(Schedule().sizes) == len(Schedule().batch) + 1


def test_no_gradient_reaches_the_averaged_weights_but_they_follow(tmp_path: Path) -> None:
    trained = training(tmp_path)
    trained.dataset.grow(16)
    before = trained.averaged.hidden[0].conv.weight.clone()
    trained.step()
    now, goal = trained.averaged.hidden[0].conv.weight, trained.generator.hidden[0].conv.weight
    assert not torch.equal(now, before)
    assert (now - goal).norm() < (before - goal).norm()
    assert not now.requires_grad


def test_images_are_rendered_once_and_half_an_image_again(tmp_path: Path) -> None:
    asked: list[int] = []

    def render(ids: range) -> np.ndarray:
        asked.extend(ids)
        return noise(ids)

    path = tmp_path / "p.u8"
    RenderedImages(path, 16, render).grow(5)
    with path.open("r+b") as file:
        file.truncate(5 * 768 - 100)
    images = RenderedImages(path, 16, render)
    assert len(images) == 4
    images.grow(7, chunk=2)
    assert asked == [0, 1, 2, 3, 4, 4, 5, 6]
    assert np.array_equal(np.fromfile(path, np.uint8).reshape(-1, 3, 16, 16), noise(range(7)))
    batch = images.sample(50, torch.Generator().manual_seed(0))
    assert batch.shape == (50, 3, 16, 16)
    assert -1 <= float(batch.min()) < -0.9
    assert 0.9 < float(batch.max()) <= 1


def test_halving_averages_the_results_of_the_convolution() -> None:
    x = torch.randn(2, 3, 8, 8)
    halving, plain = Conv(3, 5, down=True), Conv(3, 5)
    plain.load_state_dict(halving.state_dict())
    torch.testing.assert_close(halving(x), F.avg_pool2d(plain(x), 2), atol=1e-5, rtol=1e-5)


def test_a_stage_sees_images_as_blurred_as_it_can_draw_them() -> None:
    images = torch.randn(1, 3, 16, 16)
    small = F.avg_pool2d(images, 2)
    assert torch.equal(at_stage(images, 1, 1.0), small)
    coarse = F.interpolate(F.avg_pool2d(small, 2), scale_factor=2)
    torch.testing.assert_close(at_stage(images, 1, 0.25), 0.75 * coarse + 0.25 * small)


def test_the_gate_names_what_is_dropped_or_overdone() -> None:
    shares = {
        "sky": [0.4, 0.5],
        "dome": [0.02, 0.009],
        "door": [0.01, 0.021],
        "sun": [0.009, 0.0],
        "hill": [0.02, 0.01],
    }
    assert failing(shares) == ["dome", "door"]


def test_fields_of_the_schedule_can_be_changed_one_by_one() -> None:
    assert dataclasses.replace(Schedule(), images=300_000).stage(299_999) == (4, 1.0)
