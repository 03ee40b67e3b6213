"""Checkpoints as trainings keep them, which a description lays out: dictionaries in others, prefixes, wrapped names."""

import json
from pathlib import Path
from typing import Any

from mutations import Tree
from seed_files import described, small_net

BRIEF = 120
NET = {name: f"={name}" for name in small_net().state_dict()}
"""A word that begins with = stands for the tensor of that name, or for two numbers where there is none."""


def seeds() -> list[Tree]:
    """Return descriptions of the usual kinds, and the prefix under which to look."""
    wrapped = {f"module.{name}": tensor for name, tensor in NET.items()}
    compiled = {f"_orig_mod.{name}": tensor for name, tensor in NET.items()}
    flat = {f"{part}.{name}": tensor for part in ("generator", "critic") for name, tensor in NET.items()}
    average = {"n_averaged": "=n", **wrapped}
    layouts: list[tuple[Any, str]] = [
        ({"g": NET, "g_ema": NET, "args": {"lr": 0.1}, "latent_avg": "=w"}, "g_ema"),
        ({"generator": NET, "epoch": 3, "best": None}, ""),
        ({"params_ema": wrapped, "params": wrapped}, "params_ema"),
        ({"state_dict": flat, "hyper_parameters": {"n": 1}, "optimizer_states": [{"state": {}}]}, "generator."),
        ({"model": {"net": [compiled, {"epoch": 1}]}, "_extra_state": {"a": 1}}, "model.net.0"),
        ({"optimizer": {"state": {"0": {"step": "=s"}}, "param_groups": []}, "model": average}, ""),
    ]
    kinds = enumerate((layout, prefix) for layout, prefix in layouts)
    return [
        {"layout.json": json.dumps([layout, ("zip", "old", "safetensors")[i % 3], prefix]).encode()}
        for i, (layout, prefix) in kinds
    ]


def read(root: Path) -> None:
    """Write what is described, and load it into the network."""
    from ganatomy.models.weights import load_weights, read_state

    try:
        layout, kind, prefix = described(root / "layout.json")
        path = _written(layout, kind, root)
    except (ValueError, TypeError, LookupError, AttributeError, OSError, RuntimeError):
        return  # a description of nothing that could be written: RecursionError, hostile tensor names and the rest
    prefix = prefix if isinstance(prefix, str) else ""
    load_weights(small_net(), path, prefix)
    read_state(path, prefix)


def _written(layout: Any, kind: Any, root: Path) -> Path:
    import safetensors.torch
    import torch

    tensors = dict(small_net().state_dict())

    def made(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: made(each) for name, each in value.items()}
        if isinstance(value, list):
            return [made(each) for each in value]
        if isinstance(value, str) and value.startswith("="):
            return tensors.get(value[1:], torch.zeros(2))
        return value

    content = made(layout)
    path = root / "net.ckpt"
    if kind == "safetensors":
        safetensors.torch.save_file({name: tensor.clone() for name, tensor in _flat(content, "")}, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind != "old")
    return path


def _flat(value: Any, path: str) -> Any:
    import torch

    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in entries:
        yield from _flat(each, f"{path}.{name}" if path else f"{name}")
    if isinstance(value, torch.Tensor):
        yield path, value
