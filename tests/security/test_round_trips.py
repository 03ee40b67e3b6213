"""What is written reads back as it was, whatever letters and numbers are in it."""

import re
import string

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganatomy.core import trust
from ganatomy.core.errors import BadValue, shown
from ganatomy.core.files import loads_json
from ganatomy.core.registry import Registry
from ganatomy.core.vocabulary import NOTHING, Concept, checked_vocabulary, vocabulary_json
from ganatomy.interventions import Intervention, edits_from_json, edits_json
from ganatomy.models.generators import GENERATORS
from ganatomy.models.generators.repaired import with_files
from ganatomy.models.segmenters import SEGMENTERS

SHAPE = (3, 2, 2)
LAYERS = {"layer1": SHAPE, "é:?&=/..": SHAPE}
share = st.floats(0, 1, width=32)
number = st.floats(allow_nan=False, allow_infinity=False, width=32)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
letters = st.text(string.ascii_letters + string.digits + " /.-_:,+%é\u202e'\"<>", max_size=20).filter(
    lambda text: not re.search("%[0-9A-Fa-f]{2}", text)
)
"""What may stand in a name; ? & = part it, and %00 is another letter."""


@st.composite
def interventions(draw: st.DrawFn) -> Intervention:
    alpha, value = (torch.tensor(draw(st.lists(each, min_size=3, max_size=3))) for each in (share, number))
    where = torch.tensor(draw(st.lists(share, min_size=4, max_size=4))).view(1, 2, 2)
    own = Intervention(draw(st.sampled_from(sorted(LAYERS))), alpha, value, where)
    return own if draw(st.booleans()) else own.then(own)


@given(st.lists(interventions(), max_size=3), words)
@settings(max_examples=60, deadline=None, database=None)
def test_edits(edits: list[Intervention], fingerprint: str) -> None:
    text = edits_json(edits, fingerprint)
    again = edits_from_json(text, LAYERS, fingerprint)
    assert edits_json(again, fingerprint) == text
    r = torch.linspace(-2, 2, 12).view(1, *SHAPE)
    assert all(torch.equal(a(r), b(r)) for a, b in zip(edits, again, strict=True))


@given(st.lists(st.tuples(words, words), unique=True, max_size=5))
@settings(max_examples=60, deadline=None, database=None)
def test_vocabularies(pairs: list[tuple[str, str]]) -> None:
    vocabulary = (NOTHING, *(Concept(*pair) for pair in pairs if pair != NOTHING))
    rows = loads_json(vocabulary_json(vocabulary))
    assert checked_vocabulary((Concept(name, kind) for name, kind in rows), "text") == vocabulary


@given(letters, st.dictionaries(st.sampled_from(["a", "long_name", "ü"]), letters))
@settings(max_examples=60, deadline=None, database=None)
def test_names_of_generators(argument: str, options: dict[str, str]) -> None:
    registry: Registry[tuple[str, dict[str, str]]] = Registry("test of names")
    registry.register("family")(_told)
    query = "&".join(f"{key}={value}" for key, value in options.items())
    name = f"family:{argument}" + (f"?{query}" if query else "")
    assert registry.open(name) == (argument, options)
    assert with_files(name, lambda text: text) == name


def _told(argument: str, **options: str) -> tuple[str, dict[str, str]]:
    return argument, options


@given(st.text(max_size=40), st.sampled_from(["", "basis:", "parts:", "basis:basis:"]))
@settings(max_examples=200, deadline=None, database=None)
def test_no_name_hides_code(text: str, around: str) -> None:
    for family in ("torch", "classifier"):
        assert trust.runs_code(f"{around}{family}:{text}")
    known = {"given", *GENERATORS.names(), *SEGMENTERS.names()}
    assert trust.runs_code(f"{around}{text}") or text.partition("?")[0].partition(":")[0] in known


@given(st.text(max_size=40))
@settings(max_examples=100, deadline=None, database=None)
def test_messages_print_and_stay(text: str) -> None:
    said = str(BadValue(text))
    said.encode()  # no half of a letter
    assert shown(said) == said
    assert "\x1b" not in said
