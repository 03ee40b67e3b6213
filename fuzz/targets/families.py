"""Generators of plain weights and the bundled segmenter's kind, by a checkpoint and, beside it, its card."""

from pathlib import Path

from mutations import Tree
from seed_files import tree_of

BRIEF = 100


def seeds() -> list[Tree]:
    """Return a segmenter with its card, and a progressive GAN, both of a few units."""
    import json

    import safetensors.torch
    import torch

    from ganatomy.core.vocabulary import NOTHING, Concept
    from ganatomy.models.generators.progan import progan_network
    from ganatomy.models.segmenters.unet import UNet, heads

    words = [NOTHING, Concept("sky", "object"), Concept("glass", "material")]
    net = UNet([4, 4], sum(len(head) for head in heads(words)))

    def write(root: Path) -> None:
        safetensors.torch.save_file(net.state_dict(), root / "unet.safetensors")
        (root / "unet.json").write_text(json.dumps({"vocabulary": words}))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        gan = progan_network(6, [8, 8, 4, 4]).state_dict()
    return [tree_of(write), tree_of(lambda root: safetensors.torch.save_file(gan, root / "p.safetensors"))]


def read(root: Path) -> None:
    """Open it, and draw or look."""
    import torch

    from ganatomy.models.generators import open_generator
    from ganatomy.models.segmenters import open_segmenter

    if any(root.glob("unet*")):
        open_segmenter(f"unet:{root / 'unet.safetensors'}")(torch.zeros(1, 3, 16, 16))
    else:
        generator = open_generator(f"progan:{root / 'p.safetensors'}")
        generator.observe(generator.latents(range(2), 0), list(generator.layers)[:1])
