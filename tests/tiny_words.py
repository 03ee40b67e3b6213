"""Words models with random weights, small enough for every test."""

from pathlib import Path

import torch

from ganatomy.models.generators.words import WORDS, WordNetwork, WordTransformer, WordUNet


def tiny_network(kind: str = "unet", side: int = 32) -> WordNetwork:
    """Return a network, ``unet`` or ``dit``, of few units."""
    if kind == "dit":
        return WordTransformer(len(WORDS), width=8, depth=3, context=8, size=side)
    return WordUNet(len(WORDS), (8, 8, 16), context=8)


def save_words(path: Path, seed: int = 0, side: int = 32, kind: str = "unet") -> str:
    """Write the weights of a network; return the name that opens them."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = tiny_network(kind, side)
        for weight in network.parameters():
            weight.data.normal_(std=0.2)
    torch.save(network.state_dict() | {"size": torch.tensor(side)}, path)
    return f"wordflow:{path}"
