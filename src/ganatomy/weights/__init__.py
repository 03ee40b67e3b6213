"""Weights on disk: find, read, verify. The only room that opens a checkpoint; no checkpoint ever runs code."""

from ganatomy.weights.assets import bundled, bundled_names, card
from ganatomy.weights.states import State, check_finite, file_sha256, fingerprint, fit_state, read_state

__all__ = [
    "State",
    "bundled",
    "bundled_names",
    "card",
    "check_finite",
    "file_sha256",
    "fingerprint",
    "fit_state",
    "read_state",
]
