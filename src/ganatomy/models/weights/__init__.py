"""Weights on disk: located, fetched, verified, read. Only here are checkpoints opened, and none runs code."""

from ganatomy.core.assets import bundled_names, card
from ganatomy.models.weights.archives import read_objects
from ganatomy.models.weights.bundled_files import bundled
from ganatomy.models.weights.fitting import fit_state, load_weights
from ganatomy.models.weights.model_zoo import (
    MODEL_ZOO,
    PublishedModel,
    Record,
    fetch_model,
    locate,
    named_digits,
    published_model,
)
from ganatomy.models.weights.networks import read_state
from ganatomy.models.weights.pickles import StubObject, read_pickle
from ganatomy.models.weights.readers import what_opens
from ganatomy.models.weights.state_dicts import State, check_finite

__all__ = [
    "MODEL_ZOO",
    "PublishedModel",
    "Record",
    "State",
    "StubObject",
    "bundled",
    "bundled_names",
    "card",
    "check_finite",
    "fetch_model",
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
