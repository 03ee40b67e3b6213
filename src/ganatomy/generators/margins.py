"""Layers whose maps reach beyond the image.

Such a generator has one attribute more, ``margins``: by layer, how many places of the grid lie beyond the image on
every side of it; layers that it leaves out have none. Whoever lays a grid over an image must ask for it.
"""

import dataclasses

from ganatomy.generators.protocol import Observation, Subject


def margin(generator: Subject, layer: str) -> int:
    """Return how many places of a layer's grid lie beyond the image, on every side of it."""
    margins: dict[str, int] = getattr(generator, "margins", {})
    return margins.get(layer, 0)


def within_picture(generator: Subject, seen: Observation) -> Observation:
    """Return what was seen, its features without the places that lie beyond the image."""
    features = dict(seen.features)
    for layer, r in seen.features.items():
        if beyond := margin(generator, layer):
            features[layer] = r[..., beyond:-beyond, beyond:-beyond]
    return dataclasses.replace(seen, features=features)
