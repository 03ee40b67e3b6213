import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from mistakes import mistake

from ganatomy.models.generators import open_generator, open_subject
from ganatomy.models.generators.classifier import Classifier
from ganatomy.models.generators.discriminator import discriminator_network

sys.path.insert(0, str(Path(__file__).parents[3] / "recipes"))

from gan.networks import Discriminator


def test_what_is_exported_judges_as_in_training_the_group_that_gave_the_spread() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trained = Discriminator((8, 6, 6, 4))
        images = torch.randn(4, 3, 16, 16).clamp(-1, 1)
    with torch.no_grad():
        trained.last[0].weight[:, -1] *= 10  # or else the spread hardly matters
        trained.last[0].bias.b.fill_(0.1)
        exported = discriminator_network([4, 6, 6])
        exported.load_state_dict(trained.published(images))
        expected, judged = trained(images, 2, 1.0), exported(images)[:, 0]
        assert torch.allclose(judged, expected, atol=5e-3 * float(expected.abs().max())), "half precision"
        assert torch.allclose(torch.cat([exported(each[None])[:, 0] for each in images]), judged, atol=1e-5)
        exported.get_parameter("layer5.spread").zero_()
        assert not torch.allclose(exported(images)[:, 0], expected, atol=0.05 * float(expected.abs().max()))


def test_the_bundled_one_tells_scenes_from_drawn_images() -> None:
    judge, generator = open_subject("bundled:church-discriminator"), open_generator("bundled:church")
    assert isinstance(judge, Classifier)
    real = judge.rest(judge.latents(range(40), 5), "layer8").output
    drawn = generator.observe(generator.latents(range(40), 5), []).images
    with torch.no_grad():
        fake = judge._module(drawn)
    assert int((real > 0).sum()) >= 38
    assert int((fake < 0).sum()) >= 36


STATE = discriminator_network([4, 6, 6]).state_dict()


@pytest.mark.parametrize(
    ("state", "fact"),
    [
        ({"weight": torch.zeros(3)}, "discriminator"),
        ({key: value for key, value in STATE.items() if key != "layer2.weight"}, "lacks tensor layer2.weight"),
        ({key: value for key, value in STATE.items() if key != "verdict.weight"}, "verdict.weight"),
        ({**STATE, "layer2.weight": torch.tensor(1.0)}, "layer2.weight has shape []"),
        ({**STATE, "extra": torch.zeros(1)}, "extra"),
        ({**STATE, "layer1.weight": torch.zeros(4, 5, 3, 3)}, "[4, 5, 3, 3]"),
    ],
)
def test_foreign_files_are_named(tmp_path: Path, state: dict[str, torch.Tensor], fact: str) -> None:
    safetensors.torch.save_file(state, tmp_path / "judge.safetensors")
    with mistake("bad-file", fact):
        open_subject(f"discriminator:{tmp_path / 'judge.safetensors'}")
