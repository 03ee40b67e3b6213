"""A small text-to-image model of rendered churches, whose prompts are words with known truth: ``wordflow:FILE``."""

from ganatomy.models.generators.words.family import WordSampler, open_wordflow
from ganatomy.models.generators.words.prompts import OBJECTS, SEASONS, TIMES, WORDS, word_states
from ganatomy.models.generators.words.unet import ABSENT, PRESENT, UNSAID, WordUNet

__all__ = [
    "ABSENT",
    "OBJECTS",
    "PRESENT",
    "SEASONS",
    "TIMES",
    "UNSAID",
    "WORDS",
    "WordSampler",
    "WordUNet",
    "open_wordflow",
    "word_states",
]
