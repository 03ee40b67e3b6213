"""A words model with random weights, small enough for every test."""

from pathlib import Path

import torch

from ganatomy.models.generators.words import WORDS, WordUNet


def save_words(path: Path, seed: int = 0, side: int = 32) -> str:
    """Write its weights; return the name that opens them."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = WordUNet(len(WORDS), (8, 8, 16), context=8)
        for weight in network.parameters():
            weight.data.normal_(std=0.2)
    torch.save(network.state_dict() | {"size": torch.tensor(side)}, path)
    return f"wordflow:{path}"
