"""Weights on disk: located, fetched, verified, read. Only here are checkpoints opened, and none runs code."""

from ganatomy.weights.archives import read_objects
from ganatomy.weights.assets import bundled, bundled_names, card
from ganatomy.weights.fitting import fit_state, load_weights
from ganatomy.weights.known import (
    MODEL_ZOO,
    PublishedModel,
    Record,
    cache_directory,
    fetch_model,
    locate,
    named_digits,
    published_model,
)
from ganatomy.weights.networks import read_state
from ganatomy.weights.pickles import StubObject, read_pickle
from ganatomy.weights.readers import what_opens
from ganatomy.weights.states import State, check_finite, file_sha256, fingerprint

__all__ = [
    "MODEL_ZOO",
    "PublishedModel",
    "Record",
    "State",
    "StubObject",
    "bundled",
    "bundled_names",
    "cache_directory",
    "card",
    "check_finite",
    "fetch_model",
    "file_sha256",
    "fingerprint",
    "fit_state",
    "load_weights",
    "locate",
    "named_digits",
    "published_model",
    "read_objects",
    "read_pickle",
    "read_state",
    "what_opens",
]
