import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mistakes import mistake
from safetensors.torch import save_file
from torch import Tensor

import ganatomy
from ganatomy.interventions import Intervention
from ganatomy.models.generators import Generator, open_generator, open_subject
from ganatomy.models.generators.basis import BasisGenerator, in_basis
from ganatomy.models.generators.directions import Directions, principal, random_rotation, rotation, rotation_power
from ganatomy.models.generators.planted import UNITS, PlantedGenerator

LAYER = "layer2"
K = len(UNITS[LAYER])
CPU = torch.device("cpu")


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def planted() -> PlantedGenerator:
    return PlantedGenerator(CPU)


def named(options: str, layer: str = LAYER) -> BasisGenerator:
    opened = open_generator(f"basis:planted:?layer={layer}&directions={options}")
    assert isinstance(opened, BasisGenerator)
    return opened


def kept(directory: Path, name: str = "matrix.safetensors", **tensors: Tensor) -> Path:
    save_file({key: value.contiguous() for key, value in tensors.items()}, directory / name)
    return directory / name


class TestRotation:
    def test_rotations_turn_and_do_not_reflect(self) -> None:
        for seed in range(6):
            q = random_rotation(7, seed)
            assert torch.allclose(q @ q.T, torch.eye(7, dtype=q.dtype), atol=1e-12)
            assert float(q.det()) == pytest.approx(1)

    def test_they_are_uniform(self) -> None:
        """Of SO(4), entries have mean 0 and variance 1/4, the trace has variance 1: not so without the sign of R."""
        q = torch.stack([random_rotation(4, seed) for seed in range(1500)])
        assert float(q.mean(0).abs().max()) < 0.06
        assert float((q.square().mean(0) - 0.25).abs().max()) < 0.04
        assert float(q.diagonal(dim1=1, dim2=2).sum(1).var()) == pytest.approx(1, abs=0.15)

    @pytest.mark.parametrize("units", [1, 2, 5, 64])
    def test_parts_of_a_rotation_add_up_to_it(self, units: int) -> None:
        q = random_rotation(units, 3)
        quarter, half = rotation_power(q, 0.25), rotation_power(q, 0.5)
        assert torch.allclose(quarter @ quarter, half, atol=1e-9)
        assert torch.allclose(half @ half, q, atol=1e-9)
        assert torch.allclose(half @ half.T, torch.eye(units, dtype=q.dtype), atol=1e-9)
        assert torch.equal(rotation_power(q, 0), torch.eye(units, dtype=q.dtype))
        assert torch.equal(rotation_power(q, 1), q)

    def test_coefficients_are_of_features_as_they_are(self) -> None:
        z, own = planted().latents(range(3), 0), named("rotation&seed=5")
        r = planted().observe(z, [LAYER]).features[LAYER].double()
        expected = torch.einsum("ku,buhw->bkhw", random_rotation(K, 5), r)
        assert torch.allclose(own.observe(z, [LAYER]).features[LAYER].double(), expected, atol=1e-5)

    @pytest.mark.parametrize("amount", ["-0.1", "1.5", "nan"])
    def test_another_amount_is_refused(self, amount: str) -> None:
        with mistake("bad-value", f"amount={amount}", 0, 1):
            named(f"rotation&amount={amount}")


class TestPrincipal:
    def test_they_are_those_of_numpy(self) -> None:
        made = principal("", subject=planted(), layer="layer1", images=40, seed=2)
        z = planted().latents(range(40), 2 + (1 << 32))
        x = planted().observe(z, ["layer1"]).features["layer1"].double().movedim(1, -1).flatten(0, 2).numpy()
        variances, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
        assert np.allclose(made.mean.numpy(), x.mean(0), atol=1e-6)
        along = abs(made.reads.double().numpy() @ vectors[:, ::-1])[:, : len(made.reads)]
        distinct = np.abs(np.diff(variances[::-1], prepend=np.inf, append=-np.inf))
        clear = (np.minimum(distinct[:-1], distinct[1:]) > 1e-6)[: len(made.reads)]
        assert clear.sum() >= 5
        assert np.allclose(np.diag(along)[clear], 1, atol=1e-5)

    def test_they_come_in_order_of_variance_and_point_to_the_heavier_tail(self) -> None:
        own = named("pca&images=60")
        z = own.latents(range(60), 1 << 32)
        c = own.observe(z, [LAYER]).features[LAYER].double().movedim(1, 0).flatten(1)
        assert float(c.mean(1).abs().max()) < 1e-5
        variances = c.var(1)
        assert bool((variances[1:] <= variances[:-1] + 1e-9).all())
        assert bool((c.pow(3).mean(1) >= -1e-9).all())
        correlation = torch.corrcoef(c)
        assert float((correlation - torch.eye(len(c))).abs().max()) < 1e-3

    def test_directions_without_variance_are_left_out(self) -> None:
        """A unit that is always 0, or a copy: directions of which nothing is known but rounding."""
        units = UNITS["layer1"]
        without = {"on", "dead"} & set(units)
        doubled = [role for role in set(units) if units.count(role) > 1]
        copies = ["copy:ball", "not:box"]  # the one is the other, or one less the other
        expected = len(units) - len(without) - len(doubled) - len([c for c in copies if c in units])
        assert named("pca", "layer1").layers["layer1"].units == expected
        with mistake("bad-value", "count=12", expected, "layer1"):
            named("pca&count=12", "layer1")

    @pytest.mark.parametrize("images", ["0", "1", "-4"])
    def test_too_few_images_are_refused(self, images: str) -> None:
        with mistake("bad-value", f"images={images}"):
            named(f"pca&images={images}")

    @pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
    def test_a_layer_that_has_none_is_refused(self, value: float) -> None:
        class Still(PlantedGenerator):
            def observe(self, z, layers, edits=()):  # type: ignore[no-untyped-def]
                seen = super().observe(z, layers, edits)
                return ganatomy.Observation(
                    seen.images, {n: torch.full_like(r, value) for n, r in seen.features.items()}
                )

        with mistake("bad-model", "layer1", "principal directions"):
            principal("", subject=Still(CPU), layer="layer1", images=4)


class TestDirections:
    def test_one_is_changed_without_the_others_and_without_the_rest(self) -> None:
        w = randn(4, 9)
        made = Directions.linear(w, mean=randn(9, seed=1))
        r = randn(2, 9, 3, 3, seed=2)
        c = made.encode(r)
        changed = c.clone()
        changed[:, 1] = 0
        moved = made.moved(r, c, changed)
        assert torch.allclose(made.encode(moved), changed, atol=1e-5)
        beside = torch.linalg.svd(w)[2][4:]  # what is orthogonal to all directions
        assert torch.allclose(torch.einsum("ju,buhw->bjhw", beside, moved - r), torch.zeros(1), atol=1e-5)
        assert torch.equal(made.moved(r, c, c), r)
        assert not made.orthogonal

    def test_an_autoencoder_keeps_its_error(self) -> None:
        w, v, mean, bias = randn(20, 6), randn(6, 20, seed=1), randn(6, seed=2), randn(20, seed=3)
        made = Directions(w, v, mean, bias, "relu")
        r = randn(2, 6, 3, 3, seed=4)
        expected = torch.relu(torch.einsum("ku,buhw->bkhw", w, r - mean[:, None, None]) + bias[:, None, None])
        c = made.encode(r)
        assert torch.allclose(c, expected, atol=1e-5)
        changed = c.clone()
        changed[:, 7] += 2
        assert torch.allclose(made.moved(r, c, changed) - r, 2 * v[:, 7, None, None].expand_as(r), atol=1e-5)

    def test_topk_keeps_the_greatest_that_are_positive(self) -> None:
        made = Directions(torch.eye(5), torch.eye(5), torch.zeros(5), torch.zeros(5), "topk:2")
        c = made.encode(torch.tensor([[3.0, 1.0, -4.0, 2.0, 0.5], [-1.0, -2.0, 0.5, -3.0, -4.0]])[..., None, None])
        assert c[..., 0, 0].tolist() == [[3, 0, 0, 2, 0], [0, 0, 0.5, 0, 0]]

    @pytest.mark.parametrize("activation", ["gelu", "topk", "topk:0", "topk:6", "topk:-1", "topk:²", "relu:2", ""])
    def test_another_activation_is_refused(self, activation: str) -> None:
        with mistake("unknown-name", f"activation {activation!r}"):
            Directions(torch.eye(5), torch.eye(5), torch.zeros(5), torch.zeros(5), activation)

    def test_directions_that_are_not_independent_are_refused(self) -> None:
        w = randn(3, 8)
        for matrix, rank in ((torch.cat([w, w[:1] - 2 * w[1:2]]), 3), (randn(9, 8), 8), (torch.zeros(1, 8), 0)):
            with mistake("bad-value", f"{rank} of {len(matrix)}", "8 units"):
                Directions.linear(matrix)

    def test_a_whole_rotation_is_known_for_one(self) -> None:
        q = random_rotation(6, 0).float()
        assert Directions.linear(q).orthogonal
        assert not Directions.linear(q[:5]).orthogonal
        assert not Directions.linear(2 * q).orthogonal
        assert not Directions(q, q.T.contiguous(), torch.zeros(6), torch.zeros(6), "relu").orthogonal


def test_an_orthogonal_basis_draws_once_another_looks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []
    observe = PlantedGenerator.observe
    monkeypatch.setattr(PlantedGenerator, "observe", lambda self, *given: looked.append(given) or observe(self, *given))
    for options, times in (("rotation", 0), ("rotation&count=3", 1)):
        own = named(options)
        z = own.latents(range(2), 0)
        c = own.observe(z, [LAYER]).features[LAYER]
        looked.clear()
        own.render(c, LAYER, z)
        assert len(looked) == times


def test_edits_of_two_layers_and_of_two_bases() -> None:
    """Ablating every direction is ablating every unit, whichever way they are turned; and in one pass."""
    inner = planted()
    turned_twice = in_basis(inner, "layer1", rotation("", subject=inner, layer="layer1"))
    turned_twice = in_basis(turned_twice, "layer3", rotation("", subject=inner, layer="layer3", seed=1))
    z = inner.latents(range(3), 0)
    for layers in (["layer1"], ["layer3"], ["layer1", "layer3"]):
        edits = [
            Intervention.ablate(each, inner.layers[each], range(inner.layers[each].units), strength=0.5)
            for each in layers
        ]
        seen, expected = turned_twice.observe(z, layers, edits), inner.observe(z, layers, edits)
        assert torch.allclose(seen.images, expected.images, atol=1e-5)
        for layer in layers:
            q = random_rotation(inner.layers[layer].units, int(layer == "layer3")).float()
            assert torch.allclose(
                seen.features[layer], torch.einsum("ku,buhw->bkhw", q, expected.features[layer]), atol=1e-4
            )


def test_everything_stays_on_the_device_of_the_model() -> None:
    meta = PlantedGenerator(torch.device("meta"))
    autoencoder = Directions(randn(20, K), randn(K, 20), torch.zeros(K), torch.zeros(20), "topk:3")
    for directions in (rotation("", subject=planted(), layer=LAYER), autoencoder):
        own = in_basis(meta, LAYER, directions)
        assert isinstance(own, BasisGenerator)
        z = own.latents(range(2), 0)
        c = own.observe(z, [LAYER], [Intervention.ablate(LAYER, own.layers[LAYER], [1])]).features[LAYER]
        assert c.device.type == own.render(c, LAYER, z).device.type == "meta"


def test_what_only_looks_is_still_no_generator() -> None:
    own = open_subject("basis:bundled:church-discriminator?layer=layer3&directions=rotation&count=7")
    assert not isinstance(own, Generator)
    seen = own.observe(own.latents(range(2), 0), ["layer3"])
    assert seen.features["layer3"].shape[1] == own.layers["layer3"].units == 7
    assert seen.shown is not None
    with mistake("bad-model", "church-discriminator"):
        open_generator("basis:bundled:church-discriminator?layer=layer3&directions=rotation")


class TestFiles:
    @pytest.mark.parametrize("suffix", ["safetensors", "npz", "npy", "pt"])
    def test_a_matrix_opens_from_every_format(self, suffix: str, tmp_path: Path) -> None:
        matrix, path = randn(3, K), tmp_path / f"it.{suffix}"
        if suffix == "safetensors":
            save_file({"some": matrix}, path)
        elif suffix == "npz":
            np.savez(path, some=matrix.numpy())
        elif suffix == "npy":
            np.save(path, matrix.numpy())
        else:
            torch.save({"some": matrix}, path)
        own = named(str(path))
        assert torch.equal(own.directions.reads, matrix)
        assert own.layers[LAYER].units == 3
        assert own.fingerprint == in_basis(planted(), LAYER, Directions.linear(matrix)).fingerprint

    def test_a_mean_beside_it_is_taken_away_first(self, tmp_path: Path) -> None:
        matrix, mean = randn(3, K), randn(K, seed=1)
        own = named(str(kept(tmp_path, directions=matrix, other=randn(2, 2), mean=mean)))
        z = own.latents(range(2), 0)
        r = planted().observe(z, [LAYER]).features[LAYER]
        expected = torch.einsum("ku,buhw->bkhw", matrix, r - mean[:, None, None])
        assert torch.allclose(own.observe(z, [LAYER]).features[LAYER], expected, atol=1e-5)

    @pytest.mark.parametrize("shape", [(3, 1, K), (3, K, 1, 1), (3, 1, K, 1, 1)])
    def test_components_with_idle_axes_are_a_matrix(self, shape: tuple[int, ...], tmp_path: Path) -> None:
        path = kept(tmp_path, act_comp=randn(3, K).view(shape), lat_comp=randn(3, 1, 5))
        assert torch.equal(named(f"{path}&tensor=act_comp").directions.reads, randn(3, K))

    @pytest.mark.parametrize(
        ("tensors", "options", "code", "fact"),
        [
            ({"a": randn(3, K + 1)}, "", "bad-file", f"[3, {K + 1}]"),
            ({"a": randn(K)}, "", "bad-file", f"[{K}]"),
            ({"a": randn(3, K, 4, 4)}, "", "bad-file", "place"),
            ({"a": randn(3, 3, K // 3)}, "", "bad-file", f"[any, {K}]"),
            ({"a": randn(0, K)}, "", "bad-file", f"[0, {K}]"),
            ({"a": randn(3, K) * float("nan")}, "", "bad-file", "NaN"),
            ({"a": torch.zeros(3, K)}, "", "bad-value", "0 of 3"),
            ({"a": randn(3, K), "b": randn(3, K)}, "", "bad-file", "tensor=NAME"),
            ({"a": randn(3, K)}, "&tensor=c", "bad-file", "tensor c"),
            ({"directions": randn(3, K), "mean": randn(3)}, "", "bad-file", "[3]"),
            ({"a": randn(3, K).to(torch.complex64)}, "", "bad-file", "complex"),
            ({"a": randn(3, K)}, "&activation=relu", "bad-value", "sae:planted"),
            ({"a": randn(3, K)}, "&seed=1", "unknown-name", "tensor"),
            ({"W_enc": randn(K, 9), "W_dec": randn(9, K)}, "", "bad-value", "sae:"),
        ],
    )
    def test_others_are_refused_in_one_line(
        self, tensors: dict[str, Tensor], options: str, code: str, fact: str, tmp_path: Path
    ) -> None:
        if any(each.is_complex() for each in tensors.values()):
            path = tmp_path / "it.pt"
            torch.save(tensors, path)
        else:
            path = kept(tmp_path, **tensors)
        with mistake(code, fact):
            named(f"{path}{options}")

    def test_files_that_are_none_are_refused(self, tmp_path: Path) -> None:
        np.save(tmp_path / "whole.npy", randn(3, K).numpy())
        (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-9])
        np.save(tmp_path / "object.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
        np.save(tmp_path / "text.npy", np.array(["a", "b"]))
        (tmp_path / "empty.npy").touch()
        for name in ("cut.npy", "object.npy", "text.npy", "empty.npy"):
            with mistake("bad-file", tmp_path / name):
                named(str(tmp_path / name))
        for name in ("nowhere.npy", "file", "rotations"):
            with mistake("bad-file", name):
                named(name)


class TestNames:
    @pytest.mark.parametrize(
        ("spec", "code", "fact"),
        [
            ("basis:", "bad-value", "basis:bundled:church"),
            ("basis:planted:?layer=layer1", "bad-value", "basis:bundled:church"),
            ("basis:planted:?directions=pca", "bad-value", "basis:bundled:church"),
            ("basis:planted:?layer=layer9&directions=pca", "unknown-name", "layer9"),
            ("basis:nothing:?layer=layer1&directions=pca", "unknown-name", "nothing"),
            ("basis:planted:?layer=layer1&directions=pca&width=3", "unknown-name", "width"),
            ("basis:planted:?layer=layer1&directions=pca&amount=1", "unknown-name", "amount"),
            ("basis:planted:?layer=layer1&directions=rotation&images=9", "unknown-name", "images"),
            ("basis:planted:?layer=layer1&directions=rotation&seed=x", "bad-value", "seed='x'"),
            ("basis:planted:?layer=layer1&directions=rotation&count=0", "bad-value", "count=0"),
            ("basis:planted:?layer=layer1&directions=rotation&count=13", "bad-value", "count=13"),
        ],
    )
    def test_mistakes_are_told_in_one_line(self, spec: str, code: str, fact: str) -> None:
        with mistake(code, fact):
            open_generator(spec)

    def test_other_options_are_the_models(self) -> None:
        half = open_generator("basis:bundled:church?layer=layer4&directions=rotation&dtype=bfloat16")
        assert isinstance(half, BasisGenerator)
        assert half.subject.fingerprint == open_generator("bundled:church?dtype=bfloat16").fingerprint

    def test_directions_of_another_width_or_layer_are_refused(self) -> None:
        with mistake("bad-value", "5 units", "layer1", 12):
            in_basis(planted(), "layer1", Directions.linear(torch.eye(5)))
        with mistake("unknown-name", "layer7"):
            in_basis(planted(), "layer7", Directions.linear(torch.eye(12)))

    def test_every_option_is_in_the_fingerprint(self, tmp_path: Path) -> None:
        one, other = kept(tmp_path, a=randn(3, K)), kept(tmp_path, "other.safetensors", a=randn(3, K, seed=1))
        turns = ["rotation", "rotation&seed=1", "rotation&amount=0.5", "rotation&count=3"]
        main = [f"pca&images={each}" for each in ("40", "50", "40&count=3", "40&seed=1")]
        files = [str(one), str(other)]
        options = [*turns, *main, *files]
        found = {named(each).fingerprint for each in options}
        assert len(found) == len(options)
        assert planted().fingerprint not in found
        assert named("rotation").fingerprint == named("rotation&seed=0&amount=1.0").fingerprint
        assert named("rotation&count=12", "layer1").fingerprint == named("rotation", "layer1").fingerprint
        assert named("rotation", "layer1").fingerprint not in found


def told(options: str) -> str:
    """What another process must find too: names of the model, and bits of its coefficients."""
    own = named(options)
    c = own.observe(own.latents(range(2), 0), [LAYER]).features[LAYER]
    return f"{own.fingerprint} {hashlib.sha256(c.numpy().tobytes()).hexdigest()}"


@pytest.mark.slow
def test_another_process_finds_the_same_directions() -> None:
    options = ["rotation&seed=4&amount=0.3", "pca&count=5&images=40"]
    code = f"import sys; sys.path.append({str(Path(__file__).parents[2])!r}); import torch; torch.set_num_threads(1)"
    command = [sys.executable, "-c", f"{code}; from test_basis import told; print(*map(told, {options}), sep='\\n')"]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
    assert found.stdout.splitlines() == [told(each) for each in options]
