"""Inversion: the latents of photographs, in whatever way a generator allows."""

from ganatomy.models.inversion.choose import inverter_of
from ganatomy.models.inversion.protocol import Inverted, Inverter, inverted

__all__ = ["Inverted", "Inverter", "inverted", "inverter_of"]
