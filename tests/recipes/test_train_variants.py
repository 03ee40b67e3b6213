from pathlib import Path

import pytest
import torch
import train_variants
from gan.networks import Discriminator, GrowingGenerator

from ganatomy.models.generators import open_generator


@pytest.mark.slow
def test_each_variant_keeps_generators_that_open_as_they_were_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_variants, "evaluation", lambda *_: lambda draw: {})
    base = ["church", "--tiny", "--out", str(tmp_path / "runs")]
    train_variants.main(base)
    train_variants.main([*base, "--export", str(tmp_path / "kept")])
    train_variants.main([*base, "--export", str(tmp_path / "kept"), "--variants", "pixelnorm", "--moments", "2"])
    found = sorted(str(path.relative_to(tmp_path / "kept")) for path in (tmp_path / "kept").rglob("*.safetensors"))
    names = [f"{variant}-0" for variant in train_variants.VARIANTS]
    assert found == [
        "baseline-0/0000320.safetensors",
        "deviation-0/0000320.safetensors",
        "pixelnorm-0/0000128.safetensors",
        "pixelnorm-0/0000320.safetensors",
    ]

    for name, options in zip(names, ("?pixelnorm=no", "?pixelnorm=no", ""), strict=True):
        opened = open_generator(f"progan:{tmp_path / 'kept' / name / '0000320.safetensors'}{options}")
        state = torch.load(tmp_path / "runs" / name / "checkpoint.pt", weights_only=True)
        trained = GrowingGenerator(train_variants.TINY.sizes, pixelnorm=not options)
        trained.load_state_dict(state["averaged"])
        z = opened.latents(range(3), seed=0)
        with torch.no_grad():
            expected = trained(z, 3, 1.0)
        torch.testing.assert_close(opened.observe(z, []).images, expected, atol=0.02, rtol=0.02)  # kept in half


@pytest.mark.parametrize("spread", [False, True])
def test_only_with_spread_is_an_image_scored_by_its_batch(spread: bool) -> None:
    torch.manual_seed(0)
    images, discriminator = torch.randn(8, 3, 8, 8), Discriminator((8, 8, 8), spread=spread)
    among_others = discriminator(images, 1, 1.0)[:4]
    among_copies = discriminator(images[:4].repeat(2, 1, 1, 1), 1, 1.0)[:4]
    assert torch.allclose(among_others, among_copies) is not spread
