"""A small text-to-image model of rendered churches, whose prompts are words with known truth: ``wordflow:FILE``."""

from ganatomy.models.generators.words.conditions import ABSENT, PRESENT, UNSAID, WordNetwork
from ganatomy.models.generators.words.family import WordSampler, open_wordflow
from ganatomy.models.generators.words.prompts import OBJECTS, SEASONS, TIMES, WORDS, word_states
from ganatomy.models.generators.words.transformer import WordTransformer
from ganatomy.models.generators.words.unet import WordUNet

__all__ = [
    "ABSENT",
    "OBJECTS",
    "PRESENT",
    "SEASONS",
    "TIMES",
    "UNSAID",
    "WORDS",
    "WordNetwork",
    "WordSampler",
    "WordTransformer",
    "WordUNet",
    "open_wordflow",
    "word_states",
]
