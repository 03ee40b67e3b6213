"""The embedded world: a grammar of scenes, and a renderer that draws them with an exact label for every pixel."""

from ganatomy.scenes.folder import write_scenes
from ganatomy.scenes.grammar import CATEGORIES, PLANES, VOCABULARY, Grammar, Rule, grammar
from ganatomy.scenes.pairs import ScenePairs, scene_pairs
from ganatomy.scenes.places import Bank, open_bank, place_probabilities
from ganatomy.scenes.render import Rendered, render

__all__ = [
    "CATEGORIES",
    "PLANES",
    "VOCABULARY",
    "Bank",
    "Grammar",
    "Rendered",
    "Rule",
    "ScenePairs",
    "grammar",
    "open_bank",
    "place_probabilities",
    "render",
    "scene_pairs",
    "write_scenes",
]
