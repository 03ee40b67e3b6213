"""Weights on disk: find, read, verify. The only room that opens a checkpoint; no checkpoint ever runs code."""

from ganatomy.weights.archives import read_objects
from ganatomy.weights.assets import bundled, bundled_names, card
from ganatomy.weights.fitting import fit_state, load_weights
from ganatomy.weights.known import KNOWN, Known, Record, cache_directory, fetch_known, find, known_model, named_digits
from ganatomy.weights.networks import read_state
from ganatomy.weights.pickles import Foreign, read_pickle
from ganatomy.weights.readers import what_opens
from ganatomy.weights.states import State, check_finite, file_sha256, fingerprint

__all__ = [
    "KNOWN",
    "Foreign",
    "Known",
    "Record",
    "State",
    "bundled",
    "bundled_names",
    "cache_directory",
    "card",
    "check_finite",
    "fetch_known",
    "file_sha256",
    "find",
    "fingerprint",
    "fit_state",
    "known_model",
    "load_weights",
    "named_digits",
    "read_objects",
    "read_pickle",
    "read_state",
    "what_opens",
]
