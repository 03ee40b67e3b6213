"""Autoencoders in directories and files of several libraries, each with its description."""

import json
from pathlib import Path

from mutations import Tree
from seed_files import tree_of

UNITS, FEATURES = 6, 9
LAYERS = ("layer2", "layer2~update")


def seeds() -> list[Tree]:
    """Return an autoencoder of each library."""
    import torch
    from safetensors.torch import save

    numbers = torch.Generator().manual_seed(0)
    w, v = torch.randn(UNITS, FEATURES, generator=numbers), torch.randn(FEATURES, UNITS, generator=numbers)
    b, d = torch.randn(FEATURES, generator=numbers), torch.randn(UNITS, generator=numbers)
    sizes = {"d_in": UNITS, "d_sae": FEATURES}
    unbox = {"n_dirs_local": FEATURES, "d_model": UNITS, "k": 2, "auxk": 4, "dead_steps_threshold": 9}
    parse = {"expansion_factor": 1, "num_latents": FEATURES, "k": 2, "d_in": UNITS, "input_unit_norm": True}
    card = {"kind": "sae", "activation": "topk:2", "layer": "layer2", "units": UNITS, "features": FEATURES}
    lens = sizes | {"architecture": "jumprelu", "apply_b_dec_to_input": True, "normalize_activations": "layer_norm"}
    gated = sizes | {"architecture": "gated", "metadata": {"hook_name": "up"}, "activation_fn_kwargs": {"k": 2}}
    weights = {"W_enc": w, "W_dec": v, "b_enc": b, "b_dec": d}
    linear = {"encoder.weight": w.T.contiguous(), "W_dec": v, "encoder.bias": b, "b_dec": d}

    def pickled(root: Path) -> None:
        state = {"encoder.weight": w.T, "decoder.weight": v.T, "pre_bias": d, "latent_bias": b}
        torch.save({"state_dict": state | {"stats_last_nonzero": b.long()}}, root / "state_dict.pth")

    def described(config: object) -> bytes:
        return json.dumps(config).encode()

    gates = {"b_gate": b, "b_mag": b + 1, "r_mag": b + 2}
    return [
        {"it/config.json": described(unbox), **{f"it/{name}": file for name, file in tree_of(pickled).items()}},
        {"it/cfg.json": described(parse), "it/sae.safetensors": save(linear)},
        {"it/sae.json": described(card), "it/sae.safetensors": save(weights)},
        {"it/cfg.json": described(lens), "it/sae_weights.safetensors": save({**weights, "threshold": b.abs()})},
        {"it/cfg.json": described(gated), "it/sae_weights.safetensors": save({"W_enc": w, "W_dec": v, **gates})},
    ]


def read(root: Path) -> None:
    """Read it and its coefficients at one place, which are those of a layer or of an update."""
    import torch

    from ganatomy.models.generators.autoencoders import read_autoencoder

    layer = LAYERS[(root / "it" / "state_dict.pth").exists()]
    directions = read_autoencoder(str(root / "it"), layer, UNITS)
    r = torch.ones(1, UNITS, 1, 1)
    directions.moved(r, directions.encode(r), directions.encode(2 * r))
