"""Models that make an image from noise in steps, given a prompt: their layers are those of each step."""

from ganatomy.models.generators.sampling.generator import SampledGenerator, SampledOptions, sampled_options
from ganatomy.models.generators.sampling.protocol import Sampler, State

__all__ = ["SampledGenerator", "SampledOptions", "Sampler", "State", "sampled_options"]
