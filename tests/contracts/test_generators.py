"""What every registered generator must do, whatever it is made of."""

import dataclasses
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import diffusers_pipelines
import pytest
import torch
from diffusers_models import save_autoencoder, save_pipeline
from diffusers_transformers import TRANSFORMERS, save_transformer
from mistakes import mistake
from stylegan_files import Kept, stylegan2, stylegan3, write
from tiny_words import save_words
from torch import Tensor

from ganatomy.core.errors import UnknownName
from ganatomy.core.foreign_code import instantiate
from ganatomy.interventions import Intervention, everywhere
from ganatomy.models.generators import GENERATORS, Generator, open_generator
from ganatomy.models.generators.flow import RealNVP
from ganatomy.models.generators.progan import progan_network
from ganatomy.models.generators.repaired import write_repaired
from ganatomy.models.generators.vae import decoder
from ganatomy.models.weights import bundled_names

MODULE = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.grow = torch.nn.ConvTranspose2d(6, 8, 18, bias=False)
        self.block = torch.nn.Sequential(torch.nn.BatchNorm2d(8), torch.nn.ReLU(inplace=True), torch.nn.Conv2d(8, 5, 3))
        self.act = torch.nn.ReLU(inplace=True)
        self.paint = torch.nn.Conv2d(5, 3, 1)

    def forward(self, z):
        return torch.tanh(self.paint(self.act(self.block(self.grow(z)))))
"""


def seeded(seed: int, build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build().eval()


def saved(directory: Path, seed: int, family: str, build: Callable[[], torch.nn.Module]) -> str:
    torch.save(seeded(seed, build).state_dict(), directory / f"{seed}.pth")
    return f"{family}{directory / f'{seed}.pth'}"


def torch_spec(directory: Path, seed: int) -> str:
    (directory / "net_of_the_contract.py").write_text(MODULE)
    name = "net_of_the_contract:Net"
    return saved(directory, seed, f"torch:{name}?weights=", lambda: instantiate(name, {}))


def progan_spec(directory: Path, seed: int) -> str:
    return saved(directory, seed, "progan:", lambda: progan_network(6, [8, 8, 6, 6, 4, 4]))


def vae_network() -> torch.nn.Module:
    return decoder(6, [8, 8, 6, 6])


def vae_spec(directory: Path, seed: int) -> str:
    return saved(directory, seed, "vae:", vae_network)


def realnvp_network() -> torch.nn.Module:
    flow = RealNVP(8, (6, 5), steps=2)
    for weight in flow.parameters():
        weight.data.normal_(std=0.1)
    return flow


def words_spec(directory: Path, seed: int, kind: str = "unet") -> str:
    return save_words(directory / f"{seed}.pth", seed, kind=kind)


def exported_spec(directory: Path, seed: int) -> str:
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(seeded(seed, vae_network), (torch.zeros(2, 6),), dynamic_shapes=shapes)
    torch.export.save(program, directory / f"{seed}.pt2")
    return f"exported:{directory / f'{seed}.pt2'}"


def torchscript_spec(directory: Path, seed: int) -> str:
    with warnings.catch_warnings(action="ignore"):  # deprecated, but its files are not gone
        traced = torch.jit.trace(seeded(seed, vae_network), torch.zeros(2, 6), check_trace=False)
        traced.save(str(directory / f"{seed}.pt"))
    return f"torchscript:{directory / f'{seed}.pt'}"


def bundled_spec(directory: Path, seed: int) -> str:
    names = bundled_names("generator")
    if not names:
        pytest.skip("no generator is bundled")
    return f"bundled:{names[seed % len(names)]}"


def stylegan_spec(directory: Path, seed: int, network: Kept) -> str:
    return f"stylegan:{write(directory / f'{seed}.pkl', G_ema=network)}"


def repaired_spec(directory: Path, seed: int, name: str) -> str:
    """Units switched off early; if the generator cannot be folded, units moved later, too."""
    generator = open_generator(name)
    first, *_, last = generator.layers
    edits = [Intervention.ablate(first, generator.layers[first], [0, 2])]
    if not name.startswith("progan"):
        edits.append(Intervention.insert(last, generator.layers[last], [1], torch.ones(generator.layers[last].units)))
    written = write_repaired(directory / f"repaired {seed}", name, generator, edits)
    assert written.folded == name.startswith("progan"), written.reason
    return written.name


def diffusers_spec(directory: Path, seed: int, name: str, options: str = "") -> str:
    return f"diffusers:{save_autoencoder(directory / str(seed), name, seed)}{options}"


def unet_spec(directory: Path, seed: int) -> str:
    blocks = "conv_in,down_blocks.0,down_blocks.1,mid_block,up_blocks.0,up_blocks.1,conv_act"
    return f"diffusers:{save_pipeline(directory / str(seed), seed)}?step=100&images=scenes:church&layers={blocks}"


def pipeline_spec(directory: Path, seed: int) -> str:
    model = diffusers_pipelines.save_pipeline("StableDiffusionPipeline", directory / f"pipeline {seed}", seed=seed)
    blocks = "down_blocks.0,down_blocks.1.attentions.0.transformer_blocks.0,mid_block,up_blocks.1"
    return f"diffusers:{model}?prompts=a tree; a door&steps=1&layers={blocks}"


def transformer_spec(directory: Path, seed: int, kind: str) -> str:
    """A pipeline of one step, and blocks of it; those of FLUX are of two kinds, joint with the text and not."""
    home = directory / f"{kind} {seed}"
    if not home.exists():
        home.mkdir()
        save_transformer(kind, home, seed=seed)
    single = ",single_transformer_blocks.1" if kind.startswith("Flux") else ""
    blocks = f"transformer_blocks.0,transformer_blocks.1{single}"
    return f"diffusers:{home / 'model'}?prompts={home / 'prompts.txt'}&steps=1&size=16&layers={blocks}"


def autoencoder_spec(directory: Path, seed: int) -> str:
    numbers = torch.Generator().manual_seed(seed)
    state = {name: torch.randn(shape, generator=numbers) for name, shape in {"W_enc": (6, 9), "W_dec": (9, 6)}.items()}
    torch.save(state, directory / f"{seed}-autoencoder.pt")
    options = f"layer=layer3&file={directory / f'{seed}-autoencoder.pt'}&activation=topk:4"
    return f"sae:{progan_spec(directory, seed)}?{options}"


EXAMPLES: dict[str, Callable[[Path, int], str]] = {
    "basis": lambda directory, seed: f"basis:{progan_spec(directory, seed)}?layer=layer3&directions=rotation",
    "sae": autoencoder_spec,
    "basis of one": lambda directory, seed: f"basis:planted:?layer=layer2&directions=rotation&count=1&seed={seed}",
    "basis pca": lambda directory, seed: (
        f"basis:{progan_spec(directory, seed)}?layer=layer4&directions=pca&images=40&count=4"
    ),
    "bundled": bundled_spec,
    "diffusers": lambda directory, seed: diffusers_spec(directory, seed, "kl"),
    "diffusers pipeline": pipeline_spec,
    **{
        f"diffusers {kind}": lambda directory, seed, kind=kind: transformer_spec(directory, seed, kind)
        for kind in TRANSFORMERS
    },
    "diffusers unet": unet_spec,
    "diffusers vq": lambda directory, seed: diffusers_spec(
        directory, seed, "vq", "?layers=quantize,decoder.mid_block,decoder.up_blocks.0,decoder.conv_act"
    ),
    "exported": exported_spec,
    "planted": lambda directory, seed: "planted",
    "progan": progan_spec,
    "realnvp": lambda directory, seed: saved(directory, seed, "realnvp:", realnvp_network),
    "repaired": lambda directory, seed: repaired_spec(directory, seed, stylegan_spec(directory, seed, stylegan2(seed))),
    "repaired chain": lambda directory, seed: repaired_spec(directory, seed, vae_spec(directory, seed)),
    "repaired folded": lambda directory, seed: repaired_spec(directory, seed, progan_spec(directory, seed)),
    "stylegan": lambda directory, seed: stylegan_spec(directory, seed, stylegan2(seed)),
    "stylegan resnet": lambda directory, seed: stylegan_spec(directory, seed, stylegan2(seed, 16, "resnet", classes=3)),
    "stylegan orig": lambda directory, seed: stylegan_spec(directory, seed, stylegan2(seed, 8, "orig")),
    "stylegan 3-T": lambda directory, seed: stylegan_spec(directory, seed, stylegan3(seed, classes=3)),
    "stylegan 3-T cropped": lambda directory, seed: f"{stylegan_spec(directory, seed, stylegan3(seed))}?margins=no",
    "stylegan 3-R": lambda directory, seed: stylegan_spec(directory, seed, stylegan3(seed, radial=True)),
    "torch": torch_spec,
    "torchscript": torchscript_spec,
    "vae": vae_spec,
    "wordflow": lambda directory, seed: f"{words_spec(directory, seed)}?steps=2",
    "wordflow dit": lambda directory, seed: f"{words_spec(directory, seed, 'dit')}?steps=2",
    "wordflow guided": lambda directory, seed: f"{words_spec(directory, seed)}?steps=3&guidance=2&layers=down1,up1",
}
LOOK_ONLY = {"classifier", "discriminator"}
"""Families that draw nothing: see test_subjects.py."""
LAYERS_TRIED = 4
BESIDE = {"stylegan", "stylegan resnet", "repaired", "wordflow guided"}
"""Families whose layers reach the image not only through the next one."""


def test_every_family_has_an_example() -> None:
    open_generator("planted")
    assert sorted({name.partition(" ")[0] for name in EXAMPLES}) == sorted({*GENERATORS.names()} - LOOK_ONLY)


def is_slow(name: str) -> bool:
    """Whether an example waits for the whole suite: all but one of each family, and those that take seconds."""
    return " " in name or name == "diffusers"


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] * is_slow(name)) for name in sorted(EXAMPLES)],
)
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def spec(family: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], str]]:
    """Names of a family's examples, by seed."""
    directory = tmp_path_factory.mktemp(family)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        yield lambda seed: EXAMPLES[family](directory, seed)


@pytest.fixture(scope="module")
def generator(spec: Callable[[int], str]) -> Generator:
    return open_generator(spec(0))


@pytest.fixture(scope="module")
def z(generator: Generator) -> Tensor:
    return generator.latents(range(5), 0)


def some(generator: Generator) -> list[str]:
    """First, last and some layers between."""
    names = list(generator.layers)
    return names[:: max(1, len(names) // LAYERS_TRIED)] + names[-1:]


def test_one_pass_returns_images_and_layers_of_the_stated_shapes(generator: Generator, z: Tensor) -> None:
    assert isinstance(generator, Generator)
    assert generator.layers
    assert generator.device == torch.device("cpu")
    seen = generator.observe(z, list(generator.layers))
    assert list(seen.features) == list(generator.layers)
    for layer, shape in generator.layers.items():
        assert seen.features[layer].shape == (5, *shape)
        assert not seen.features[layer].requires_grad
    assert seen.images.shape[:2] == (5, 3)
    assert seen.images.dtype == torch.float32
    assert not seen.images.requires_grad
    assert bool(seen.images.isfinite().all())
    assert float(seen.images.abs().median()) <= 1, "not in [-1, 1]"
    assert float((seen.images[0] - seen.images[1]).abs().max()) > 1e-3, "every latent draws the same image"
    last = list(generator.layers)[-1]
    assert list(generator.observe(z, [last]).features) == [last]
    assert torch.equal(generator.observe(z, []).images, generator.observe(z, [last]).images)


def test_rendering_what_was_observed_gives_the_same_image(generator: Generator, z: Tensor) -> None:
    seen = generator.observe(z, list(generator.layers))
    for layer in generator.layers:
        given = seen.features[layer].clone()
        assert torch.allclose(generator.render(given, layer, z), seen.images, atol=1e-5), layer
        assert torch.equal(given, seen.features[layer]), "render wrote into the features that it was given"


def test_rendering_something_else_gives_another_image(generator: Generator, z: Tensor) -> None:
    seen = generator.observe(z, some(generator))
    for layer, r in seen.features.items():
        edited = r.clone()
        edited[2] = 3 * edited[2].flip(1) + 1
        images = generator.render(edited, layer, z)
        changed = (images - seen.images).abs().amax((1, 2, 3))
        assert float(changed[2]) > 1e-3, layer
        assert float(changed[[0, 1, 3, 4]].max()) < 1e-5, "an edit of one image changed another"


def test_layers_come_in_forward_order(generator: Generator, z: Tensor) -> None:
    """Taking everything away at a layer changes it and what comes later; so images forget what came before."""
    names = list(generator.layers)
    seen = generator.observe(z, names)
    blank = {name: generator.render(torch.zeros_like(seen.features[name]), name, z) for name in (names[0], names[-1])}
    assert all(float((images - seen.images).abs().max()) > 1e-3 for images in blank.values())


def test_latents_depend_on_seed_and_id_only(generator: Generator) -> None:
    z = generator.latents(range(6), 3)
    assert torch.equal(generator.latents(range(2, 5), 3), z[2:5])
    assert torch.equal(generator.latents(range(5, 6), 3), z[5:])
    assert not torch.equal(generator.latents(range(6), 4), z)
    assert len(generator.latents(range(0), 3)) == 0


def test_a_image_does_not_depend_on_its_batch(generator: Generator, z: Tensor) -> None:
    names = some(generator)
    together = generator.observe(z, names)
    for rows in (slice(0, 1), slice(1, 4), slice(4, 5)):
        alone = generator.observe(z[rows], names)
        assert torch.allclose(alone.images, together.images[rows], atol=1e-4)  # a hundredth of a grey level
        for layer in names:
            expected = together.features[layer][rows]
            rounding = 1e-5 * max(1.0, float(expected.abs().max()))
            assert torch.allclose(alone.features[layer], expected, atol=rounding), layer


def test_what_was_observed_can_be_edited_with_a_learnt_strength(generator: Generator, z: Tensor) -> None:
    for layer, r in generator.observe(z, some(generator)).features.items():
        alpha = torch.full((r.shape[1], 1, 1), 0.1, requires_grad=True)
        generator.render((1 - alpha) * r, layer, z).square().sum().backward()
        assert alpha.grad is not None
        assert bool(alpha.grad.isfinite().all())
        assert bool(alpha.grad.any()), layer


def test_gradients_are_those_of_the_image(generator: Generator, z: Tensor) -> None:
    """Against the finite difference along the gradient, in single precision: to a few per cent."""
    for layer, r in generator.observe(z, some(generator)).features.items():
        r = r.clone().requires_grad_()
        weight = torch.randn(generator.render(r, layer, z).shape, generator=torch.Generator().manual_seed(0))
        (gradient,) = torch.autograd.grad((generator.render(r, layer, z) * weight).sum(), r)
        step = 1e-3 * gradient / gradient.norm()
        with torch.no_grad():
            ahead, behind = (generator.render(r + s * step, layer, z) * weight for s in (1, -1))
        difference = float((ahead - behind).double().sum()) / 2
        assert difference == pytest.approx(float((gradient * step).double().sum()), rel=0.05), layer


def test_nothing_is_left_behind(generator: Generator, z: Tensor) -> None:
    """The same question twice has the same answer to the bit, whatever was asked in between."""
    first, globally = next(iter(generator.layers)), torch.random.get_rng_state()
    before = generator.observe(generator.latents(range(5), 0), [first])
    assert torch.equal(torch.random.get_rng_state(), globally)
    generator.render(torch.randn_like(before.features[first]).requires_grad_(), first, z)
    with pytest.raises(UnknownName):
        generator.observe(z, [first, "no such layer"])
    after = generator.observe(z, [first])
    assert torch.equal(before.images, after.images)
    assert torch.equal(before.features[first], after.features[first])


def an_edit(generator: Generator, layer: str, seed: int = 0) -> Intervention:
    """Takes every unit and every place partly."""
    units, height, width = generator.layers[layer]
    numbers = torch.Generator().manual_seed(seed)
    alpha, where = torch.rand(units, generator=numbers), torch.rand(1, height, width, generator=numbers)
    return Intervention(layer, alpha, 2 * torch.randn(units, generator=numbers), where)


def farthest(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def test_drawing_with_an_edit_is_rendering_the_edited_features(generator: Generator, z: Tensor) -> None:
    z = z[:2]
    seen = generator.observe(z, list(generator.layers))
    for layer, r in seen.features.items():
        edit = an_edit(generator, layer)
        images = generator.edited(z, [edit])
        assert farthest(images, generator.render(edit(r), layer, z)) < 1e-5, layer
        assert farthest(images, seen.images) > 1e-3, layer
        assert not images.requires_grad


def test_edits_of_several_layers_act_in_forward_order_those_of_one_in_list_order(
    generator: Generator, z: Tensor
) -> None:
    first, *_, last = generator.layers
    early, late, again = (an_edit(generator, layer, seed) for seed, layer in enumerate((first, last, first)))
    r = generator.observe(z, [last], [early]).features[last]
    beside = generator.edited(z, [early]) - generator.render(r, last, z)  # what comes by other ways than the last layer
    expected = generator.render(late(r), last, z) + beside
    assert farthest(generator.edited(z, [early, late]), expected) < 1e-5
    assert farthest(generator.edited(z, [late, early]), expected) < 1e-5
    both = generator.edited(z, [early, late, again])
    assert torch.equal(both, generator.edited(z, [early.then(again), late]))
    assert farthest(both, generator.edited(z, [again, late, early])) > 1e-4


def test_rendering_makes_edits_on_the_way(generator: Generator, z: Tensor) -> None:
    """Those of the layer itself act on what is given, in list order; the rest where they belong."""
    z, names = z[:2], list(dict.fromkeys(some(generator)))
    seen = generator.observe(z, names)
    for i, layer in enumerate(names[:-1]):
        own, again, last = (an_edit(generator, name, seed) for seed, name in enumerate((layer, layer, names[-1])))
        given = seen.features[layer].clone()
        images = generator.render(given, layer, z, [last, own, again])
        assert farthest(images, generator.edited(z, [own, again, last])) < 1e-5, layer
        assert farthest(images, generator.render(again(own(given)), layer, z)) > 1e-4, "the later edit is lost"
        assert torch.equal(given, seen.features[layer]), "render wrote into the features that it was given"
        between = names[i + 1]
        r = given.requires_grad_()
        generator.render(0.9 * r, layer, z, [an_edit(generator, between)]).square().sum().backward()
        assert r.grad is not None
        assert bool(r.grad.isfinite().all())
        assert bool(r.grad.any()), f"no gradient through the edit of {between}"
    assert torch.equal(generator.observe(z, []).images, seen.images), "an edit was left behind"


def test_an_edit_before_the_layer_that_is_rendered_is_refused(generator: Generator, z: Tensor) -> None:
    first, *_, last = generator.layers
    r, edit = generator.observe(z, [last]).features[last], an_edit(generator, first)
    before = generator.observe(z, []).images
    with mistake("bad-value", first, last):
        generator.render(r, last, z, [an_edit(generator, last), edit])
    units, height, width = generator.layers[last]
    with mistake("bad-value", last, [len(z), units, height, width]):
        generator.render(r, last, z, [Intervention.ablate(last, (units + 1, height, width), [units])])
    assert torch.equal(generator.observe(z, []).images, before)


def test_observing_with_edits_shows_what_they_made_of_every_layer(family: str, generator: Generator, z: Tensor) -> None:
    names = list(generator.layers)
    middle = len(names) // 2
    edit = an_edit(generator, names[middle])
    plain, seen = generator.observe(z, names, []), generator.observe(z, names, [edit])
    assert torch.equal(generator.edited(z, []), plain.images)
    assert list(seen.features) == names
    for name in names[:middle]:
        assert torch.equal(seen.features[name], plain.features[name]), name
    assert torch.equal(seen.features[names[middle]], edit(plain.features[names[middle]]))
    for name in names[middle + 1 :]:
        assert farthest(seen.features[name], plain.features[name]) > 1e-3, name
    assert torch.equal(seen.images, generator.edited(z, [edit]))
    beside = farthest(seen.images, generator.render(seen.features[names[-1]], names[-1], z))
    assert beside > 1e-3 if family in BESIDE else beside < 1e-5


def test_an_edit_of_one_image_leaves_the_others(generator: Generator, z: Tensor) -> None:
    plain = generator.observe(z, []).images
    for layer in some(generator):
        edit = an_edit(generator, layer)
        where = torch.zeros(5, *edit.where.shape[1:])
        where[2] = edit.where[0]
        changed = (generator.edited(z, [dataclasses.replace(edit, where=where)]) - plain).abs().amax((1, 2, 3))
        assert float(changed[2]) > 1e-3, layer
        assert float(changed[[0, 1, 3, 4]].max()) < 1e-5, layer


def test_an_edit_that_does_not_fit_is_refused_in_one_line_and_leaves_nothing(generator: Generator, z: Tensor) -> None:
    z = z[:2]
    before = generator.observe(z, []).images
    for layer in some(generator):
        units, height, width = generator.layers[layer]
        for edit in (
            Intervention.ablate(layer, (units + 1, height, width), [units]),
            Intervention.ablate(layer, (units, height + 1, width), [0]),
            Intervention.ablate(layer, (units, height, width), [0], everywhere((height, width)).expand(4, -1, -1)),
        ):
            for use in (lambda e=edit: generator.edited(z, [e]), lambda e=edit: generator.observe(z, [], [e])):
                with mistake("bad-value", layer, [len(z), units, height, width]):
                    use()
    assert torch.equal(generator.observe(z, []).images, before)


def test_a_layer_that_does_not_exist_is_refused(generator: Generator, z: Tensor) -> None:
    first = next(iter(generator.layers))
    r, fitting = generator.observe(z, [first]).features[first], an_edit(generator, first)
    edit = Intervention.ablate("no such layer", (1, 1, 1), [0])
    for use in (
        lambda: generator.observe(z, ["no such layer"]),
        lambda: generator.render(r, "no such layer", z),
        lambda: generator.render(r, first, z, [edit]),
        lambda: generator.edited(z, [fitting, edit]),
        lambda: generator.observe(z, [], [edit]),
    ):
        with mistake("unknown-name", "no such layer"):
            use()


def test_the_fingerprint_is_of_the_weights(spec: Callable[[int], str], generator: Generator) -> None:
    assert open_generator(spec(0)).fingerprint == generator.fingerprint
    assert len(generator.fingerprint) == 64
    if spec(1) != spec(0):
        assert open_generator(spec(1)).fingerprint != generator.fingerprint
