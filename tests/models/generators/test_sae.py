import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from mistakes import mistake
from safetensors.torch import save_file
from torch import Tensor, nn

import ganatomy
from ganatomy.core.errors import UnknownName
from ganatomy.interventions import Intervention
from ganatomy.models.generators import open_generator
from ganatomy.models.generators.autoencoders import read_autoencoder
from ganatomy.models.generators.basis import BasisGenerator, in_basis
from ganatomy.models.generators.directions import Directions
from ganatomy.models.generators.planted import UNITS, PlantedGenerator
from ganatomy.models.generators.protocol import layer_facts
from ganatomy.models.generators.reconstruction import reconstructions
from ganatomy.models.weights import card
from ganatomy.report.html import report_html

LAYER = "layer2"
U, K = len(UNITS[LAYER]), 20


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def linear(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return a @ b + c


def greatest(c: Tensor, k: int) -> Tensor:
    values, places = c.relu().topk(k)
    return torch.zeros_like(c).scatter(1, places, values)


W, V, B, D = randn(U, K), randn(K, U, seed=1), randn(K, seed=2), randn(U, seed=3)
X = randn(50, U, seed=4)
BASE = {"W_enc": W, "W_dec": V, "b_enc": B, "b_dec": D}
LENS = {
    "d_in": U,
    "d_sae": K,
    "architecture": "standard",
    "apply_b_dec_to_input": True,
    "normalize_activations": "none",
}


def written(folder: Path, config: Mapping[str, Any] | None, state: Mapping[str, Tensor], name: str) -> Path:
    """An autoencoder's directory: the state in a file of that name, and the description that goes with it."""
    folder.mkdir(exist_ok=True)
    if name.endswith("safetensors"):
        save_file({key: value.contiguous() for key, value in state.items()}, folder / name)
    else:
        torch.save({"state_dict": dict(state)} if name == "state_dict.pth" else dict(state), folder / name)
    if config is not None:
        beside = {"state_dict.pth": "config.json", "weights.pt": "config.json"}.get(name, "cfg.json")
        (folder / ("sae.json" if config.get("kind") else beside)).write_text(json.dumps(config))
    return folder


def layer_normed(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mean, deviation = x.mean(1, keepdim=True), x.std(1, keepdim=True)
    return (x - mean) / (deviation + 1e-5), mean, deviation


Kind = tuple[dict[str, Any] | None, dict[str, Tensor], str, str, Callable[[Tensor], Tensor]]
UNBOX = {"n_dirs_local": K, "d_model": U, "k": 3, "auxk": 8, "dead_steps_threshold": 100}
PARSE = {"expansion_factor": 4, "num_latents": K, "k": 3, "d_in": U, "batch_topk": True, "input_unit_norm": False}
LOW, GATE, MAG, RATE = randn(K, seed=5).abs(), randn(K, seed=6), randn(K, seed=7), randn(K, seed=8)
TURNED = {"encoder.weight": W.T, "W_dec": V, "encoder.bias": B, "b_dec": D}
OVER = {
    "dictionary._weights": V / V.norm(dim=1, keepdim=True),
    "encoder.final_block.0.weight": W.T,
    "encoder.final_block.0.bias": B,
    "encoder.final_block.1.weight": randn(K, seed=9),
    "encoder.final_block.1.bias": randn(K, seed=10),
    "encoder.final_block.1.running_mean": randn(K, seed=11),
    "encoder.final_block.1.running_var": randn(K, seed=12).abs() + 0.1,
    "encoder.final_block.1.num_batches_tracked": torch.tensor(3),
}


def overcomplete(x: Tensor) -> Tensor:
    block = nn.Sequential(nn.Linear(U, K), nn.BatchNorm1d(K))
    block.load_state_dict({n.removeprefix("encoder.final_block."): v for n, v in OVER.items() if "final" in n})
    with torch.no_grad():
        return block.eval()(x).relu()


def jumped(c: Tensor, low: Tensor) -> Tensor:
    return c.relu() * (c > low)


def by_length(x: Tensor) -> Tensor:
    lengths = V.norm(dim=1)
    return greatest(linear(x - D, W, B) * lengths, 3)


SAFE, LENSED = "sae.safetensors", "sae_weights.safetensors"
KINDS: dict[str, Kind] = {
    "sdxl-unbox": (
        UNBOX,
        {"encoder.weight": W.T, "decoder.weight": V.T, "pre_bias": D, "latent_bias": B}
        | {"stats_last_nonzero": torch.zeros(K, dtype=torch.long)},
        "state_dict.pth",
        "",
        lambda x: greatest(linear(x - D, W, B), 3),
    ),
    "SAeUron": (PARSE, TURNED, SAFE, "", lambda x: greatest(linear(x - D, W, B), 3)),
    "SAeUron normalised": (
        PARSE | {"input_unit_norm": True},
        TURNED,
        SAFE,
        "",
        lambda x: greatest(linear(layer_normed(x)[0] - D, W, B), 3),
    ),
    "SAELens": (LENS, BASE, LENSED, "", lambda x: linear(x - D, W, B).relu()),
    "SAELens not centred": (
        LENS | {"apply_b_dec_to_input": False},
        BASE,
        LENSED,
        "",
        lambda x: linear(x, W, B).relu(),
    ),
    "SAELens topk": (
        LENS | {"architecture": "topk", "k": 3},
        BASE,
        LENSED,
        "",
        lambda x: greatest(linear(x - D, W, B), 3),
    ),
    "SAELens by length": (
        LENS | {"architecture": "topk", "k": 3, "rescale_acts_by_decoder_norm": True},
        BASE,
        LENSED,
        "",
        by_length,
    ),
    "SAELens old topk": (
        LENS | {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}},
        BASE,
        LENSED,
        "",
        lambda x: greatest(linear(x - D, W, B), 3),
    ),
    "SAELens jumprelu": (
        LENS | {"architecture": "jumprelu"},
        BASE | {"threshold": LOW},
        LENSED,
        "",
        lambda x: jumped(linear(x - D, W, B), LOW),
    ),
    "SAELens gated": (
        LENS | {"architecture": "gated"},
        {"W_enc": W, "W_dec": V, "b_dec": D, "b_gate": GATE, "b_mag": MAG, "r_mag": RATE},
        LENSED,
        "",
        lambda x: linear(x - D, W * RATE.exp(), MAG).relu() * (linear(x - D, W, GATE) > 0),
    ),
    "SAELens norm": (
        LENS | {"normalize_activations": "constant_norm_rescale"},
        BASE,
        LENSED,
        "",
        lambda x: linear(x * U**0.5 / x.norm(dim=1, keepdim=True) - D, W, B).relu(),
    ),
    "batch top-k without threshold": (
        LENS | {"architecture": "batchtopk", "k": 3.0},
        BASE,
        LENSED,
        "",
        lambda x: greatest(linear(x - D, W, B), 3),
    ),
    "batch top-k with one": (
        None,
        {"encoder.weight": W.T, "decoder.weight": V.T, "encoder.bias": B, "b_dec": D}
        | {"k": torch.tensor(3), "threshold": torch.tensor(0.7)},
        "ae.pt",
        "",
        lambda x: jumped(linear(x - D, W, B), torch.tensor(0.7)),
    ),
    "ViT-Prisma": (
        {"d_in": U, "d_sae": K, "activation_fn_str": "relu", "normalize_activations": "layer_norm"},
        BASE,
        "weights.pt",
        "",
        lambda x: linear(layer_normed(x)[0] - D, W, B).relu(),
    ),
    "overcomplete topk": (None, OVER, "sae.pt", "topk:3", lambda x: greatest(overcomplete(x), 3)),
    "overcomplete jump": (
        None,
        OVER | {"thresholds": LOW.log()},
        "sae.pt",
        "",
        lambda x: jumped(overcomplete(x), LOW),
    ),
    "ganatomy": (
        {"kind": "sae", "activation": "topk:3", "layer": LAYER, "generator": "planted:", "units": U, "features": K},
        BASE,
        SAFE,
        "",
        lambda x: greatest(linear(x - D, W, B), 3),
    ),
    "tied": (
        LENS | {"tied": True},
        {"W_enc": W, "b_enc": B, "b_dec": D},
        LENSED,
        "",
        lambda x: linear(x - D, W, B).relu(),
    ),
}


def opened(name: str, folder: Path) -> Directions:
    config, state, file, activation, _ = KINDS[name]
    layer = f"{LAYER}~update" if name == "sdxl-unbox" else LAYER
    return read_autoencoder(str(written(folder, config, state, file)), layer, U, activation)


@pytest.mark.parametrize("name", KINDS)
def test_coefficients_are_those_of_the_library(name: str, tmp_path: Path) -> None:
    found = opened(name, tmp_path / "it").encode(X[..., None, None])[..., 0, 0]
    expected = KINDS[name][-1](X)
    assert torch.allclose(found, expected, atol=1e-4)
    assert 0 < int((found != 0).sum()) < found.numel()


@pytest.mark.parametrize("name", KINDS)
def test_an_edit_adds_the_decoders_direction_and_keeps_the_rest(name: str, tmp_path: Path) -> None:
    made, r = opened(name, tmp_path / "it"), X[..., None, None]
    c = made.encode(r)
    assert torch.equal(made.moved(r, c, c), r)
    changed = c.clone()
    changed[:, 4] += 2
    scale = 1.0 if made.normalisation == "none" else (made.rebuilt(r, changed) - made.rebuilt(r, c)).norm(dim=1)
    moved = (made.moved(r, c, changed) - r)[..., 0, 0]
    direction = made.writes[:, 4] * 2
    if made.normalisation == "none":
        assert torch.allclose(moved, direction.expand_as(moved), atol=1e-4)
    else:
        assert torch.allclose(moved.norm(dim=1), scale[:, 0, 0], atol=1e-4)
        assert torch.allclose(torch.cosine_similarity(moved, direction[None]), torch.ones(len(X)), atol=1e-4)


@pytest.mark.parametrize(("name", "expected"), [("SAELens", V), ("tied", W.T), ("SAeUron normalised", V)])
def test_it_rebuilds_what_the_library_does(name: str, expected: Tensor, tmp_path: Path) -> None:
    made, r = opened(name, tmp_path / "it"), X[..., None, None]
    c = made.encode(r)
    whole = KINDS[name][-1](X) @ expected + D
    if "normalised" in name:
        _, mean, deviation = layer_normed(X)
        whole = whole * deviation + mean
    assert torch.allclose(made.rebuilt(r, c)[..., 0, 0], whole, atol=1e-3)


class TestFamily:
    def test_options_of_the_model_pass(self, tmp_path: Path) -> None:
        state = {"W_enc": randn(64, 8), "W_dec": randn(8, 64)}
        (tmp_path / "it").mkdir()
        units = open_generator("bundled:church").layers["layer6"].units
        state = {"W_enc": randn(units, 8), "W_dec": randn(8, units)}
        save_file(state, tmp_path / "it" / "one.safetensors")
        own = open_generator(f"sae:bundled:church?layer=layer6&file={tmp_path / 'it'}&dtype=bfloat16")
        assert isinstance(own, BasisGenerator)
        assert own.layers["layer6"].units == 8
        assert own.subject.fingerprint == open_generator("bundled:church?dtype=bfloat16").fingerprint

    def test_features_are_ablated_and_inserted_like_units_and_a_bad_autoencoder_spoils_nothing(
        self, tmp_path: Path
    ) -> None:
        """The one of random numbers explains less than nothing of the layer."""
        config, state, file, _, _ = KINDS["ganatomy"]
        own = open_generator(f"sae:planted:?layer={LAYER}&file={written(tmp_path / 'it', config, state, file)}")
        assert isinstance(own, BasisGenerator)
        told = reconstructions(own)[LAYER]
        assert told.explained < 0
        assert "is it of this model and layer" in str(told)
        assert 0 < told.active <= 3
        z, plain = own.latents(range(3), 0), PlantedGenerator(torch.device("cpu"))
        r = plain.observe(z, [LAYER])
        seen = own.observe(z, [LAYER])
        assert torch.equal(seen.images, r.images)
        feature = int(seen.features[LAYER].sum((0, 2, 3)).argmax())
        edit = Intervention.ablate(LAYER, own.layers[LAYER], [feature])
        after = own.observe(z, [LAYER], [edit]).features[LAYER]
        assert not after[:, feature].any()
        expected = own.directions.moved(r.features[LAYER], seen.features[LAYER], after)
        assert torch.equal(own.edited(z, [edit]), plain.render(expected, LAYER, z))
        with mistake("unknown-name", K):
            Intervention.ablate(LAYER, own.layers[LAYER], [K])

    def test_a_perfect_autoencoder_explains_all(self) -> None:
        eye = torch.eye(U)
        twice = Directions(
            torch.cat([eye, -eye]), torch.cat([eye, -eye], 1), torch.zeros(U), torch.zeros(2 * U), "relu"
        )
        found = reconstructions(in_basis(PlantedGenerator(torch.device("cpu")), LAYER, twice))[LAYER]
        assert found.explained == pytest.approx(1)
        assert found.active <= U
        assert found.dead >= 0.4  # features of the planted world are hardly ever negative

    def test_dissected_by_name(self, tmp_path: Path) -> None:
        config, state, file, _, _ = KINDS["ganatomy"]
        name = f"sae:planted:?layer={LAYER}&file={written(tmp_path / 'it', config, state, file)}"
        done = ganatomy.dissect(name, segmenter="planted", layers=[LAYER], images=8, out=tmp_path / "out")
        assert set(done.units["unit"]) == set(range(K))
        model = open_generator(name)
        assert isinstance(model, BasisGenerator)
        told = reconstructions(model)[LAYER]
        said = done.facts["layer_facts"][LAYER]
        assert said == {"sentence": f"The autoencoder of {LAYER} {told}", **vars(told)}
        page = report_html(done)
        assert f'<p class="lead">The autoencoder of {LAYER} explains {100 * told.explained:.1f} % of' in page
        old = {key: fact for key, fact in done.facts.items() if key != "layer_facts"}
        assert "The autoencoder of" not in report_html(dataclasses.replace(done, facts=old))

    def test_where_nothing_can_be_rebuilt_the_dissection_still_is_one(self, tmp_path: Path) -> None:
        eye = torch.eye(U)
        wrong = Directions(eye, eye, torch.full((U,), float("inf")), torch.zeros(U), "relu")
        model = in_basis(PlantedGenerator(torch.device("cpu")), LAYER, wrong)
        assert "no variance to explain" in layer_facts(model)[LAYER]["sentence"]
        assert layer_facts(PlantedGenerator(torch.device("cpu"))) == {}


NAN = {"W_enc": W.clone().index_fill_(0, torch.tensor([1]), float("nan")), "W_dec": V}
REFUSED: list[tuple[Any, dict[str, Tensor], str, str, str]] = [
    (UNBOX, {"encoder.weight": W.T, "decoder.weight": V.T}, "state_dict.pth", "bad-value", f"layer={LAYER}~update"),
    (LENS, NAN, LENSED, "bad-file", "NaN"),
    (LENS | {"d_in": 9}, BASE, LENSED, "bad-file", "9 units"),
    (LENS | {"d_sae": 9}, BASE, LENSED, "bad-file", "says 9"),
    (LENS | {"d_sae": "x" * 9000}, BASE, LENSED, "bad-file", "d_sae"),
    (LENS | {"d_sae": 10**40}, BASE, LENSED, "bad-file", "d_sae"),
    (LENS | {"d_sae": True}, BASE, LENSED, "bad-file", "d_sae"),
    (LENS | {"d_sae": -1}, BASE, LENSED, "bad-file", "d_sae"),
    (LENS | {"d_sae": float("nan")}, BASE, LENSED, "bad-file", "d_sae"),
    (LENS | {"d_sae": 2.5}, BASE, LENSED, "bad-file", "d_sae"),
    (LENS | {"architecture": ["gated"]}, BASE, LENSED, "bad-file", "architecture"),
    (LENS | {"architecture": "temporal"}, BASE, LENSED, "bad-file", "temporal"),
    (LENS | {"architecture": "gated"}, BASE, LENSED, "bad-file", "b_gate"),
    (LENS | {"architecture": "jumprelu"}, BASE, LENSED, "bad-file", "threshold"),
    (LENS | {"architecture": "topk"}, BASE, LENSED, "bad-file", "k is missing"),
    (LENS | {"architecture": "topk", "k": K + 1}, BASE, LENSED, "unknown-name", f"topk:{K + 1}"),
    (LENS | {"activation_fn_str": "tanh-relu"}, BASE, LENSED, "bad-file", "tanh-relu"),
    (LENS | {"normalize_activations": "expected_average_only_in"}, BASE, LENSED, "bad-file", "in no file"),
    (LENS | {"hook_head_index": 3}, BASE, LENSED, "bad-file", "heads"),
    (LENS | {"apply_b_dec_to_input": 1}, BASE, LENSED, "bad-file", "apply_b_dec_to_input"),
    (LENS, {"W_enc": W, "b_dec": D}, LENSED, "bad-file", "no decoder"),
    (LENS, BASE | {"W_skip": V + 1}, LENSED, "bad-file", "W_skip"),
    (LENS, {"W_enc": W, "W_dec": randn(K, U + 1)}, LENSED, "bad-file", f"[{K}, {U + 1}]"),
    (LENS, {"W_enc": torch.tensor(1.0), "W_dec": V}, LENSED, "bad-file", "W_enc"),
    (LENS, {"other": V}, LENSED, "bad-file", "no encoder"),
    (PARSE | {"transcode": True}, TURNED, SAFE, "bad-file", "transcode"),
    ({"model_type": "bert"}, BASE, LENSED, "bad-file", "overcomplete"),
    ([1, 2], BASE, LENSED, "bad-file", "overcomplete"),
    ({"kind": "sae", "activation": "topk:3", "layer": "layer3"}, BASE, SAFE, "bad-value", "layer3"),
    ({"kind": "sae", "activation": "topk:3", "layer": f"{LAYER}~update"}, BASE, SAFE, "bad-value", "~update"),
    ({"kind": "sae", "activation": "swish"}, BASE, SAFE, "unknown-name", "swish"),
    ({"kind": "sae", "activation": "topk:" + "9" * 5000}, BASE, SAFE, "unknown-name", "topk:1"),
    (None, OVER, "sae.pt", "bad-value", "topk:n"),
    (None, BASE | {"r_mag": RATE}, "sae.pt", "bad-file", "b_gate"),
    (None, {**OVER, "encoder.final_block.1.running_var": -LOW, "thresholds": LOW}, "sae.pt", "bad-file", "negative"),
    (None, {**BASE, "log_threshold": torch.full((K,), 1e6)}, "sae.pt", "bad-file", "too large"),
]


@pytest.mark.parametrize(("config", "state", "file", "code", "fact"), REFUSED)
def test_others_are_refused_in_one_line(
    config: Any, state: dict[str, Tensor], file: str, code: str, fact: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "it", config if isinstance(config, dict) else None, state, file)
    if isinstance(config, list):
        (path / "cfg.json").write_text(json.dumps(config))
    with mistake(code, fact):
        read_autoencoder(str(path), LAYER, U)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("touched"),)


def test_no_code_is_run_and_what_is_no_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = written(tmp_path / "it", UNBOX, {}, "state_dict.pth")
    torch.save({"state_dict": {"encoder.weight": Evil()}}, folder / "state_dict.pth")
    with mistake("bad-file", "state_dict.pth"):
        read_autoencoder(str(folder), f"{LAYER}~update", U)
    assert not (tmp_path / "touched").exists()
    (tmp_path / "empty").mkdir()
    for name, fact in (("empty", "overcomplete"), ("nowhere", "nowhere")):
        with mistake("bad-file", fact):
            read_autoencoder(str(tmp_path / name), LAYER, U)
    for text in ("{", "[" * 100_000, '{"d_in": 1e999}'):
        (folder / "config.json").write_text(text)
        with mistake("bad-file", "config.json"):
            read_autoencoder(str(folder), LAYER, U)
    for number in ("x", "nan", "-1"):
        with mistake("bad-value", f"jumprelu:{number}"):
            read_autoencoder(str(written(tmp_path / "b", LENS, BASE, LENSED)), LAYER, U, f"jumprelu:{number}")


def test_a_file_beside_the_description_of_something_else_opens(tmp_path: Path) -> None:
    path = written(tmp_path / "it", {"model_type": "bert"}, BASE, LENSED) / LENSED
    assert read_autoencoder(str(path), LAYER, U).activation == "relu"


@pytest.mark.parametrize("spec", ["sae:", "sae:planted:?layer=layer1", "sae:planted:?file=x"])
def test_a_name_without_layer_or_file(spec: str) -> None:
    with mistake("bad-value", "sae:bundled:church"):
        open_generator(spec)


@pytest.mark.parametrize(("name", "layer"), [("church", "layer5"), ("church-words", "up2@4")])
def test_bundled_ones_open_and_rebuild_their_layer_as_their_card_says(name: str, layer: str) -> None:
    model = open_generator(f"sae:bundled:{name}?layer={layer}&file=bundled:{name}-sae")
    assert model.layers[layer].units == 1024
    scores = card(f"{name}-sae")["scores"]
    assert reconstructions(model)[model.layer].explained == pytest.approx(scores["variance explained"], abs=0.03)
    with pytest.raises(UnknownName, match="church-sae"):
        open_generator(f"sae:bundled:{name}?layer={layer}&file=bundled:chruch-sae")
