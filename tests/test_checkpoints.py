"""Checkpoints as trainings keep them: nested, wrapped, tied, parametrised, beside other things; into modules."""

import argparse
import json
import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from mistakes import mistake
from stylegan_files import Kept, stylegan2, write
from torch import Tensor, nn
from torch.nn.utils import parametrizations, spectral_norm

from ganatomy.models.generators import open_generator, open_subject
from ganatomy.models.generators.progan import progan_network
from ganatomy.models.weights import load_weights, read_state
from ganatomy.models.weights.readers import LEGACY

Builds = Callable[[], nn.Module]


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    named = OrderedDict(start=nn.Linear(3, 4), norm=nn.BatchNorm1d(4), paint=nn.Linear(4, 2))
    return nn.Sequential(named)


def other() -> nn.Module:
    return nn.Sequential(OrderedDict(first=nn.Linear(2, 5)))


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path / "w.pt")
    return path / "w.pt"


def same(a: nn.Module, b: nn.Module) -> bool:
    x = torch.randn(5, next(a.parameters()).shape[1], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return torch.equal(a.eval()(x), b.eval()(x))


def opens(path: Path, prefix: str = "", build: Builds = net, want: nn.Module | None = None) -> bool:
    made = build()
    for weight in made.parameters():
        nn.init.zeros_(weight)
    load_weights(made, path, prefix)
    return same(made, want or net(1))


def refused(path: Path, *facts: str, prefix: str = "", module: nn.Module | None = None) -> None:
    module = module or net()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with mistake("bad-file", path, *facts):
        load_weights(module, path, prefix)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


# ---------------------------------------------------------------- dictionaries in dictionaries

STATE, EMA = net(1).state_dict(), net(2).state_dict()


def optimizer() -> dict[str, Any]:
    module = net()
    made = torch.optim.Adam(module.parameters())
    module(torch.ones(2, 3)).sum().backward()
    made.step()
    return made.state_dict()


def under(prefix: str, state: dict[str, Tensor] = STATE) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "content",
    [
        {"generator": STATE, "epoch": 3},
        {"params_ema": STATE},
        {"model_state_dict": STATE, "optimizer_state_dict": optimizer(), "epoch": 3, "loss": torch.tensor(0.5)},
        {"state_dict": {"state_dict": STATE}},
        {"models": [STATE], "step": 1},
        {"g": STATE, "d": other().state_dict(), "latent_avg": torch.zeros(7)},
        {"g": STATE, "ema": {"decay": 0.999, "shadow": under("x.", EMA) | {"x.more": torch.ones(2)}}},
        under("module."),
        under("_orig_mod."),
        under("module._orig_mod."),
        {"state_dict": under("generator.")},
        {"n_averaged": torch.tensor(5)} | under("module."),
        {name.replace("start.", "start._orig_mod."): tensor for name, tensor in STATE.items()},
        {"start": net(1).start.state_dict(), "norm": net(1).norm.state_dict(), "paint": net(1).paint.state_dict()},
        {**STATE, "epoch": 3, "name": "best"},
        {name: tensor for name, tensor in STATE.items() if not name.endswith("num_batches_tracked")},
        {name: tensor.numpy() for name, tensor in STATE.items()},
    ],
)
def test_the_one_network_that_fits_is_found(tmp_path: Path, content: Any) -> None:
    assert opens(saved(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "prefixes"),
    [
        ({"g": EMA, "g_ema": STATE, "d": other().state_dict()}, ["g_ema.", "g_ema"]),
        ({"state_dict": under("generator.") | under("generator_ema.", EMA)}, ["generator.", "state_dict.generator."]),
        ({"models": {"gan": {"g": STATE, "g_ema": EMA}}}, ["models.gan.g.", "g"]),
        ({"nets": [EMA, STATE]}, ["nets.1."]),
        (under("a.module.") | under("b.module.", EMA), ["a.", "a.module.", "a"]),
        (under("net_") | under("ema_", EMA), ["net_"]),
        ({"a": {"b": {"c": STATE}}, "d": {"e": EMA}}, ["a.", "a.b.", "a.b.c."]),
    ],
)
def test_a_prefix_descends_through_dictionaries_and_dots(tmp_path: Path, content: Any, prefixes: list[str]) -> None:
    path = saved(tmp_path, content)
    for prefix in prefixes:
        assert opens(path, prefix)


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (
            {"g": STATE, "g_ema": EMA, "d": other().state_dict(), "epoch": 3},
            ["g. (9 tensors), g_ema. (9 tensors)", "prefix=g_ema."],
        ),
        (
            {"a": other().state_dict(), "b": {"x": torch.ones(1)}},
            ["a. (2 tensors", "b. (1 tensor", "start.weight and 7 more"],
        ),
        (
            {"state_dict": under("generator.") | under("critic.", other().state_dict())},
            ["start.weight and 7 more", "state_dict.generator. (9 tensors)", "prefix=state_dict.generator."],
        ),
        (STATE | under("_orig_mod.", EMA), ["_orig_mod.start.weight and 8 more"]),
        (
            under("encoder.", other().state_dict()) | under("decoder.", other().state_dict()),
            ["start.weight and 7 more", "encoder. (2 tensors), decoder. (2 tensors)"],
        ),
        (
            {"ema": {"startweight": torch.ones(4, 3), "startbias": torch.ones(4)}},
            ["start.weight and 7 more", "ema.startweight, ema.startbias"],
        ),
        (optimizer(), ["optimizer"]),
        ({"g": STATE | {"more": torch.ones(2)}}, ["g.more"]),
        ({"g": STATE | {"start.bias": torch.ones(3)}}, ["g.start.bias", "[3]", "[4]"]),
        ({"g": STATE | {"start.bias": torch.full([4], np.nan)}}, ["g.start.bias", "NaN"]),
    ],
)
def test_what_there_is_is_listed(tmp_path: Path, content: Any, facts: list[str]) -> None:
    refused(saved(tmp_path, content), *facts)


def test_a_prefix_that_nothing_has_lists_what_there_is(tmp_path: Path) -> None:
    path = saved(tmp_path, {"g": STATE, "d": other().state_dict()})
    refused(path, "'G.'", "g. (9 tensors), d. (2 tensors)", prefix="G.")


def test_other_networks_of_a_file_may_hold_anything(tmp_path: Path) -> None:
    spoilt = {"a": torch.tensor([torch.nan]), "b": torch.eye(2).to_sparse(), "c": torch.ones(2, device="meta")}
    assert opens(saved(tmp_path, {"g": STATE, "d": spoilt}))


def test_a_module_around_the_network_takes_its_weights(tmp_path: Path) -> None:
    path = saved(tmp_path, {"g": STATE})
    assert opens(path, build=lambda: nn.Sequential(OrderedDict(net=net())))
    assert opens(path, build=lambda: nn.Sequential(OrderedDict(a=nn.Sequential(OrderedDict(b=net())))))
    assert opens(saved(tmp_path, under("other.")), build=lambda: nn.Sequential(OrderedDict(net=net())))
    assert opens(path, build=lambda: torch.compile(net(), backend="eager"))


def test_networks_of_families_are_picked(tmp_path: Path) -> None:
    path = saved(tmp_path, {"g": under("module."), "g_ema": under("_orig_mod.", EMA), "optimizer": optimizer()})
    assert read_state(path, "g.").keys() == read_state(path, "g_ema.").keys() == STATE.keys()
    with mistake("bad-file", "g. (9 tensors)", "g_ema. (9 tensors)", "prefix=g_ema."):
        read_state(path)


def test_dictionaries_without_end_are_refused(tmp_path: Path) -> None:
    loop: dict[str, Any] = {"g": STATE}
    loop["self"] = loop
    wide: dict[str, Any] = {"g": STATE}
    for _ in range(30):
        wide = {str(i): wide for i in range(8)}
    for content in (loop, wide):
        refused(saved(tmp_path, content), "dictionaries")


# ---------------------------------------------------------------- Lightning


class AttributeDict(dict[str, Any]):
    pass


def lightning(**more: Any) -> dict[str, Any]:
    return {
        "epoch": 3,
        "global_step": np.int64(100),
        "pytorch-lightning_version": "2.4.0",
        "state_dict": under("generator.") | under("critic.", other().state_dict()),
        "optimizer_states": [optimizer()],
        "lr_schedulers": [{"base_lrs": [np.float64(1e-3)], "last_epoch": 3}],
        "callbacks": {
            "ModelCheckpoint{'monitor': 'fid'}": {
                "best_model_score": torch.tensor(3.0),
                "best_k_models": {"a.ckpt": torch.tensor(3.0)},
                "dirpath": Path("runs"),
            }
        },
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 4}}}},
        "hparams_name": "kwargs",
        **more,
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"lr": np.float32(0.1), "betas": np.array([0.5, 0.9]), "name": np.str_("x"), "path": Path("a/b")},
        argparse.Namespace(lr=0.1, data=Path("x")),
        AttributeDict(lr=0.1),
    ],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_lightning_checkpoints_open(
    tmp_path: Path, settings: Any, legacy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lightning.fabric.utilities.data as module

    monkeypatch.setattr(AttributeDict, "__module__", module.__name__)
    monkeypatch.setattr(module, "AttributeDict", AttributeDict)
    path = tmp_path / "last.ckpt"
    torch.save(lightning(hyper_parameters=settings), path, _use_new_zipfile_serialization=not legacy)
    assert opens(path, "generator.")
    refused(path, "prefix=state_dict.generator.")
    with pytest.raises(pickle.UnpicklingError):  # nothing is left allowed
        torch.load(path, weights_only=True)


def test_objects_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path, {"state_dict": STATE, "config": torch.nn.ReLU()})
    refused(path, "torch.nn.modules.activation.ReLU", "net.state_dict()")


# ---------------------------------------------------------------- tied weights, norms, entries of any kind


class Tied(nn.Sequential):
    def __init__(self, *, tied: bool = True) -> None:
        super().__init__(OrderedDict(a=nn.Linear(3, 3), b=nn.Linear(3, 3)))
        if tied:
            self.b.weight = self.a.weight


def test_tied_weights_open_under_one_name_or_both(tmp_path: Path) -> None:
    torch.manual_seed(1)
    module = Tied()
    safetensors.torch.save_model(module, str(tmp_path / "tied.safetensors"))
    assert opens(tmp_path / "tied.safetensors", build=Tied, want=module)
    assert opens(saved(tmp_path, module.state_dict()), build=Tied, want=module)
    only_b = {name: tensor for name, tensor in module.state_dict().items() if name != "a.weight"}
    assert opens(saved(tmp_path, {"g": under("x.", only_b)}), build=Tied, want=module)
    refused(saved(tmp_path, Tied(tied=False).state_dict()), "a.weight and b.weight", module=Tied())
    without = {name: tensor for name, tensor in only_b.items() if name != "b.weight"}
    refused(saved(tmp_path, without), "a.weight and 1 more", module=Tied())


def old_norm() -> nn.Module:
    with warnings.catch_warnings(action="ignore"):
        return nn.Sequential(OrderedDict(a=nn.utils.weight_norm(nn.Linear(3, 4)), b=nn.Linear(4, 2)))


def new_norm() -> nn.Module:
    return nn.Sequential(OrderedDict(a=parametrizations.weight_norm(nn.Linear(3, 4)), b=nn.Linear(4, 2)))


def old_spectral() -> nn.Module:
    with warnings.catch_warnings(action="ignore"):
        return nn.Sequential(OrderedDict(a=spectral_norm(nn.Linear(3, 4)), b=nn.Linear(4, 2)))


def new_spectral() -> nn.Module:
    return nn.Sequential(OrderedDict(a=parametrizations.spectral_norm(nn.Linear(3, 4)), b=nn.Linear(4, 2)))


@pytest.mark.parametrize(("old", "new"), [(old_norm, new_norm), (old_spectral, new_spectral)])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_norms_of_weights_open_under_old_and_new_names(tmp_path: Path, old: Builds, new: Builds, prefix: str) -> None:
    x = torch.randn(5, 3)
    for made, into in ((old(), new), (new(), old), (old(), old), (new(), new)):
        made.train()(x)  # so that spectral norm iterates
        path, module = saved(tmp_path, under(prefix, made.state_dict())), into()
        load_weights(module, path)
        torch.testing.assert_close(module.eval()(x), made.eval()(x))


class Noted(nn.Linear):
    kept: Any = None

    def get_extra_state(self) -> Any:
        return {"scale": torch.ones(1), "name": "x"}

    def set_extra_state(self, state: Any) -> None:
        self.kept = state


def test_entries_of_any_kind_are_handed_over(tmp_path: Path) -> None:
    made = nn.Sequential(OrderedDict(a=Noted(3, 3)))
    module = nn.Sequential(OrderedDict(a=Noted(3, 3)))
    load_weights(module, saved(tmp_path, {"g": under("module.", made.state_dict())}))
    assert module.a.kept["name"] == "x"
    assert same(made, module)
    plain = nn.Sequential(OrderedDict(a=nn.Linear(3, 3)))
    refused(saved(tmp_path, made.state_dict()), "a._extra_state", module=plain)


class Counted(nn.BatchNorm1d):
    """Reads what it saved before its second version, at another scale."""

    _version = 3

    def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *rest: Any) -> None:
        if metadata.get("version", 1) < 3:
            state[prefix + "weight"] = state.pop(prefix + "gain") if prefix + "gain" in state else torch.zeros(4)
        super()._load_from_state_dict(state, prefix, metadata, *rest)


def counted() -> nn.Module:
    module = net()
    module.norm = Counted(4)
    return module


def test_a_module_reads_its_own_versions(tmp_path: Path) -> None:
    made = counted()
    nn.init.constant_(made.norm.weight, 3.0)
    for state in (made.state_dict(), nn.Sequential(OrderedDict(x=made)).state_dict()):
        module = counted()
        load_weights(module, saved(tmp_path, {"g": state}))
        assert module.norm.weight.tolist() == [3] * 4
    renamed = {name.replace("norm.weight", "norm.gain"): tensor for name, tensor in made.state_dict().items()}
    for prefix in ("", "module."):
        module = counted()
        load_weights(module, saved(tmp_path, under(prefix, renamed)))
        assert module.norm.weight.tolist() == [3] * 4
    renamed["more"] = torch.ones(1)
    refused(saved(tmp_path, renamed), module=counted())


def test_counters_of_norms_may_be_missing_or_more(tmp_path: Path) -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))
            self.bias = nn.Parameter(torch.ones(4))
            self.register_buffer("running_mean", torch.zeros(4))
            self.register_buffer("running_var", torch.zeros(4))

    load_weights(Plain(), saved(tmp_path, nn.BatchNorm1d(4).state_dict()))
    refused(saved(tmp_path, nn.BatchNorm1d(4).state_dict()), "running_mean and 2 more", module=nn.LayerNorm(4))


def test_modules_without_numbers_get_those_of_the_file(tmp_path: Path) -> None:
    with torch.device("meta"):
        module = net()
    load_weights(module, saved(tmp_path, {name: tensor.double() for name, tensor in STATE.items()}))
    assert module.start.weight.dtype == torch.float32
    assert same(module, net(1))
    lazy = nn.Sequential(OrderedDict(start=nn.LazyLinear(4), norm=nn.LazyBatchNorm1d(), paint=nn.LazyLinear(2)))
    load_weights(lazy, saved(tmp_path, STATE))
    assert same(lazy, net(1))


# ---------------------------------------------------------------- numbers of other kinds


@pytest.mark.parametrize(
    ("tensor", "fact"),
    [
        (torch.ones(4, 3, dtype=torch.complex64), "torch.complex64"),
        (torch.ones(4, 3, dtype=torch.int8), "torch.int8"),
        (torch.ones(4, 3).to_sparse(), "to_dense()"),
        (torch.ones(4, 3, device="meta"), "shape"),
    ],
)
def test_weights_of_another_kind_are_refused(tmp_path: Path, tensor: Tensor, fact: str) -> None:
    path = saved(tmp_path, {"g": STATE | {"start.weight": tensor}})
    refused(path, "g.start.weight", fact)
    if "torch." not in fact:
        with mistake("bad-file", "g.start.weight"):
            read_state(path)


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):  # they are deprecated, their files are not gone
        path = saved(
            tmp_path, STATE | {"start.weight": torch.quantize_per_tensor(STATE["start.weight"], 0.1, 0, torch.qint8)}
        )
    refused(path, "start.weight", "torch.qint8")


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_weights_of_other_precision_open(tmp_path: Path, kind: torch.dtype, name: str) -> None:
    state = {n: t.to(kind) if t.is_floating_point() else t for n, t in STATE.items()}
    path = tmp_path / name
    safetensors.torch.save_file(state, path) if name.startswith("w.s") else torch.save(state, path)
    module = net()
    load_weights(module, path)
    assert torch.equal(module.start.weight, state["start.weight"].float())
    assert read_state(path)["start.weight"].dtype == kind


def test_fractions_do_not_become_whole_numbers(tmp_path: Path) -> None:
    fractions = saved(tmp_path, STATE | {"norm.num_batches_tracked": torch.tensor(1.5)})
    refused(fractions, "norm.num_batches_tracked", "torch.float32", "torch.int64")
    assert opens(saved(tmp_path, STATE | {"norm.num_batches_tracked": torch.tensor([1.0])}))


def test_tensors_that_repeat_themselves_take_no_memory(tmp_path: Path) -> None:
    small = {name: tensor[:1].expand_as(tensor) for name, tensor in STATE.items() if tensor.ndim}
    load_weights(net(), saved(tmp_path, STATE | small))
    huge = {"a": torch.ones(1).expand(1 << 40), "start.weight": torch.ones(1, 1).expand(4, 3)}
    path = saved(tmp_path, huge)
    assert path.stat().st_size < 2000
    with mistake("bad-file", path, "contiguous()"):
        read_state(path)
    many = {str(i): torch.ones(1).expand(1 << 20) for i in range(10)}
    with mistake("bad-file", "contiguous()"):
        read_state(saved(tmp_path, many))


HUGE = b"\x8a\x05" + (1 << 36).to_bytes(5, "little")
LONG, LIST = b"X" + (1 << 20).to_bytes(4, "little") + bytes(1 << 20), b"](" + 2_000 * b"K\x01K\x02\x86" + b"e"


@pytest.mark.parametrize(
    "instructions",
    [
        b"cbuiltins\nbytearray\n" + HUGE + b"\x85R",
        b"c__builtin__\nbytearray\n" + HUGE + b"\x85R",
        b"ctorch._tensor\n_rebuild_from_type_v2\n(cbuiltins\nbytearray\ncbuiltins\nset\n" + HUGE + b"\x85}tR",
        b"c_codecs\nencode\nq\x00" + LONG + b"q\x01X\x06\0\0\0latin1q\x02" + 100 * b"h\x00h\x01h\x02\x86R",
        *(b"c" + name + b"\nq\x00" + LIST + b"q\x01" + 150 * b"h\x00h\x01\x85R" for name in (
            b"builtins\nset", b"collections\nOrderedDict", b"collections\nCounter",
            b"lightning.fabric.utilities.data\nAttributeDict",
        )),
    ],
)  # fmt: skip
@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_copies_again_and_again_is_refused_unread(
    tmp_path: Path, instructions: bytes, legacy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "load", pytest.fail)
    path, content = tmp_path / "w.pt", b"\x80\x02(" + instructions + b"t."
    if legacy:
        path.write_bytes(b"".join([LEGACY, b"\x80\x02M\xe9\x03.", b"\x80\x02}.", content]))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("w/data.pkl", content)
            archive.writestr("w/version", "3")
    refused(path, "pickle", "unfold")


def test_an_archive_with_two_files_of_one_name_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, STATE)
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings(action="ignore"):
        archive.writestr("w/data.pkl", b"\x80\x02}.")
    refused(path, "a file twice")


# ---------------------------------------------------------------- files by what they are


@pytest.mark.parametrize("name", ["w.pkl", "w.safetensors", "w.npz", "w.ckpt", "w"])
def test_the_ending_of_a_name_says_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    safetensors.torch.save_file(STATE, path)
    assert opens(path)
    torch.save({"g": STATE}, path)
    assert opens(path)
    torch.save({"g": STATE}, path, _use_new_zipfile_serialization=False)
    assert opens(path)
    with path.open("wb") as file:
        np.savez(file, **{key: tensor.numpy() for key, tensor in STATE.items()})
    assert opens(path)
    for protocol in range(2, 6):
        path.write_bytes(pickle.dumps({"model": {key: tensor.numpy() for key, tensor in STATE.items()}}, protocol))
        assert opens(path)
        path.write_bytes(pickle.dumps(STATE, protocol))
        assert opens(path)


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n", "Git LFS"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5"),
        (b"GGUF" + bytes(50), "GGUF"),
        (b"\x1f\x8b" + bytes(50), "gzip"),
    ],
)
def test_files_of_other_formats_are_named(tmp_path: Path, content: bytes, fact: str) -> None:
    for name in ("w.pt", "w.safetensors", "w.pkl"):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, fact)


def test_an_index_opens_all_its_files(tmp_path: Path) -> None:
    names = list(STATE)
    parts = {"a-1.safetensors": names[:4], "a-2.safetensors": names[4:]}
    for file, own in parts.items():
        safetensors.torch.save_file({name: STATE[name] for name in own}, tmp_path / file)
    index = tmp_path / "a.safetensors.index.json"
    places = {name: file for file, own in parts.items() for name in own}
    text = json.dumps({"metadata": {"total_size": 1}, "weight_map": places})
    for encoding in ("utf-8", "utf-8-sig"):
        index.write_text(text, encoding=encoding)
        assert opens(index)
    index.write_text(json.dumps({"weight_map": {**places, "more": "a-1.safetensors"}}))
    refused(index, "tensor more", "a-1.safetensors")
    index.write_text(text.replace("a-2", "a-3"))
    refused(index, "a-3.safetensors")
    index.write_text(json.dumps({"weight_map": {"x": "a" * 5000}}))
    refused(index, "a" * 255)
    for wrong in ({}, {"weight_map": {}}, {"weight_map": {"x": "../a"}}, {"weight_map": {"a": 3, "b": 4}}):
        index.write_text(json.dumps(wrong))
        refused(index, "index of weights")


# ---------------------------------------------------------------- which family opens what


def test_families_say_what_opens_a_file_that_is_not_theirs(tmp_path: Path) -> None:
    write(tmp_path / "gan.pkl", G_ema=stylegan2(0))
    torch.save(STATE, tmp_path / "state.pt")
    safetensors.torch.save_file(STATE, tmp_path / "state.safetensors")
    for name in ("state.pt", "state.safetensors"):
        for family in ("stylegan", "exported", "torchscript"):
            with mistake("bad-file", tmp_path / name, "torch:package.module:callable?weights="):
                open_generator(f"{family}:{tmp_path / name}")
    for family in ("progan", "vae", "realnvp", "discriminator"):
        with mistake("bad-file", tmp_path / "gan.pkl", "stylegan:"):
            open_subject(f"{family}:{tmp_path / 'gan.pkl'}")


@pytest.mark.parametrize("name", ["gan.pt", "gan.pth", "gan.ckpt", "gan.safetensors", "gan"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_networks_of_stylegan_open_whatever_their_file_is_called(tmp_path: Path, name: str, protocol: int) -> None:
    z, drawn = torch.randn(2, 6), []
    for path, by_torch in ((tmp_path / "gan.pkl", False), (tmp_path / name, False), (tmp_path / f"x{name}", True)):
        generator = open_generator(f"stylegan:{write(path, protocol, by_torch=by_torch, G_ema=stylegan2(0))}")
        drawn.append(generator.observe(z, []).images)
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])


def test_a_file_without_a_generator_says_what_it_has(tmp_path: Path) -> None:
    path = write(tmp_path / "gan.pkl", D=Kept("Discriminator"))
    with mistake("bad-file", path, "G_ema", "D"):
        open_generator(f"stylegan:{path}")


def test_progan_opens_one_network_of_several(tmp_path: Path) -> None:
    state = progan_network(8, [8, 8, 4, 4]).state_dict()
    path = saved(tmp_path, {"g": state, "g_ema": under("module.", state), "epoch": 3})
    with mistake("bad-file", path, "g. (10 tensors)", "g_ema.", "prefix=g_ema."):
        open_generator(f"progan:{path}")
    assert list(open_generator(f"progan:{path}?prefix=g_ema").layers) == ["layer1", "layer2", "layer3", "layer4"]
