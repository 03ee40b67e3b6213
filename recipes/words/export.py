"""The bundled words model: weights in half precision, and a card with what is measured on just that."""

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from gan.evaluation import SegmenterEvaluation
from gan.training import rounded

from ganatomy.core.files import atomic_write, write_text
from ganatomy.core.fingerprint import file_sha256
from ganatomy.core.vocabulary import find_concept
from ganatomy.models.generators.sampling import SampledGenerator
from ganatomy.models.generators.words import OBJECTS, WordNetwork, WordSampler
from ganatomy.models.segmenters import open_segmenter
from words.data import CATEGORY, SEEN, SIZE
from words.model import RectifiedFlow
from words.seasons import seasons_obeyed


def export(model: RectifiedFlow, path: Path, facts: Mapping[str, Any], images: int = 4000, each: int = 200) -> None:
    """Write the weights and their card.

    Args:
        model: the averaged weights, with the words of scenes that training never saw.
        path: of the weights; the card lies beside them.
        facts: seed, images seen, and command of the training.
        images: drawn for the Fréchet distance and the shares of objects.
        each: drawn for each object, once said and once denied, and for each season and time of day.
    """
    half = {name: value.half().contiguous() for name, value in model.network.net.state_dict().items()}
    model.network.net.load_state_dict(half)
    seed, net = int(facts["seed"]), model.network.net
    evaluate = SegmenterEvaluation(CATEGORY, seed, model.latent, SIZE, images)
    with torch.no_grad():
        scores = evaluate(model.network) | {"said and denied": words_seen(net, each)}
    scores["seasons and times"] = seasons_obeyed(net, 9 * each, seed, scenes=images)
    with atomic_write(path) as temporary:
        safetensors.torch.save_file(half | {"size": torch.tensor(SIZE)}, temporary)
    card = {
        "name": path.stem,
        "kind": "generator",
        "family": "wordflow",
        "category": CATEGORY,
        "size": SIZE,
        "title": "Text-to-image model of rendered churches, a rectified flow whose prompts are words",
        **facts,
        "scores": rounded(scores),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "licence": "Apache-2.0",
        "sha256": file_sha256(path),
    }
    write_text(path.with_suffix(".json"), json.dumps(card, indent=1) + "\n")
    print(json.dumps(card["scores"]))


def words_seen(network: WordNetwork, images: int) -> dict[str, list[float]]:
    """Return for each object the share of images that show it, where the prompt says it and where it denies it."""
    segmenter = open_segmenter(f"bundled:scenes?size={SIZE}")
    found = {}
    for word in OBJECTS:
        sampler = WordSampler(network, [f"a church with {word}", f"a church without {word}"], SIZE)
        generator = SampledGenerator(sampler)
        seen = generator.observe(generator.latents(range(2 * images), 0), ()).images
        shown = (segmenter(seen)[:, 0] == find_concept(segmenter.vocabulary, f"object:{word}")).sum((1, 2)) >= SEEN
        found[word] = [float(own.double().mean()) for own in (shown[::2], shown[1::2])]
    return found
