"""The embedded world: a grammar of scenes, and a renderer that draws them with an exact label for every pixel."""

from ganatomy.scenes.folder import write_scenes
from ganatomy.scenes.grammar import CATEGORIES, PLANES, VOCABULARY, Grammar, Rule, grammar
from ganatomy.scenes.render import Rendered, render

__all__ = ["CATEGORIES", "PLANES", "VOCABULARY", "Grammar", "Rendered", "Rule", "grammar", "render", "write_scenes"]
