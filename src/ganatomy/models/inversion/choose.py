"""The way in which a generator is inverted: by itself where it can, else step by step, else by optimisation."""

from ganatomy.core.errors import BadValue
from ganatomy.models.generators import Generator
from ganatomy.models.generators.basis import without_basis
from ganatomy.models.generators.sampling import SampledGenerator
from ganatomy.models.inversion.encoder import EncoderInverter
from ganatomy.models.inversion.optimisation import OffsetInverter, Optimisation
from ganatomy.models.inversion.protocol import Inverter
from ganatomy.models.inversion.steps import StepInverter


def inverter_of(generator: Generator, network: object, layer: str = "", how: Optimisation | None = None) -> Inverter:
    """Return what inverts photographs for a generator.

    Args:
        generator: one that has a method `encode` is asked for the latents; one that samples in steps is run backwards;
            of any other, `OffsetInverter`. Directions in place of units do not change the latents.
        network: a feature network, for the last.
        layer: where an offset is added.
        how: an offset is found.

    Raises:
        BadValue: a layer is given, and no offset is needed.
        BadModel: a sampler that cannot be run backwards.
    """
    model = without_basis(generator)
    encode = getattr(model, "encode", None)
    if layer and (encode is not None or isinstance(model, SampledGenerator)):
        raise BadValue(f"layer={layer}: this generator is inverted without an offset at a layer; leave it out")
    if encode is not None:
        return EncoderInverter(generator, encode)
    if isinstance(model, SampledGenerator):
        return StepInverter(model)
    return OffsetInverter(generator, network, layer, how)
