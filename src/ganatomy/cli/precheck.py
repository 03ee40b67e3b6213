"""Mistakes in the names of models and studies, found before torch is loaded, which takes seconds.

What is not found here is found when the model or study is opened; nothing is refused here that could be opened.
"""

import contextlib
import difflib
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ganatomy.api.autoencoders import located
from ganatomy.core.assets import bundled_names
from ganatomy.core.cache import cache_directory
from ganatomy.core.errors import BadFile, StudyError, UnknownName, not_a_dissection
from ganatomy.core.files import read_json
from ganatomy.core.layer_steps import split_layer
from ganatomy.core.registry import entries_of, split_name
from ganatomy.core.vocabulary import Concept, find_concept

KINDS: Mapping[str, tuple[str, ...]] = {"generator": ("generator", "discriminator"), "segmenter": ("segmenter",)}
"""Options that name a model, and the kinds of bundled weights that each opens."""
RECORD, DISSECTION = "study.json", "dissect"
READERS = {"generator": ("progan", "stylegan", "exported"), "segmenter": ("unet",)}
"""Families to suggest for a file."""
WEIGHTS = (".pth", ".pt", ".pt2", ".pkl", ".ckpt", ".bin", ".safetensors")


def check_names(arguments: Namespace) -> None:
    """Refuse models of unknown families, files that are missing, and studies that are not there.

    Raises:
        UnknownName: no such family, bundled model, layer or concept; suggests one.
        BadFile: no such file of weights.
        StudyError: no such directory, or no dissection where one is needed.
    """
    given = vars(arguments)
    for kind in KINDS:
        if isinstance(given.get(kind), str):
            _check_model(kind, given[kind])
    source = located(given.get("trained_on"))  # a study, or a generator
    for name in (source, given.get("autoencoder")):
        if isinstance(name, str):
            _check_model("generator", name)
    for directory in (given.get("directory"), source, *(given.get("directories") or ())):
        if isinstance(directory, Path) and not directory.exists() and not _is_copy(directory):
            raise StudyError(f"{directory} holds no study; there is nothing of that name{_similar(directory)}")
    if given.get("about_study"):
        _check_question(given)


def _similar(directory: Path) -> str:
    """Return a hint at studies next to a directory that does not exist."""
    with contextlib.suppress(OSError):
        studies = [path.name for path in directory.parent.iterdir() if (path / RECORD).is_file()]
        if close := difflib.get_close_matches(directory.name, studies):
            return f"; did you mean {' or '.join(str(directory.parent / name) for name in close)}?"
    return ""


def _check_question(given: Mapping[str, Any]) -> None:
    """Refuse a question about something that is no dissection, or about a layer or concept that it has not.

    Raises:
        StudyError: the directory holds another kind of result; names the dissection that it is of.
        UnknownName: no such layer or concept.
    """
    try:
        record = read_json(given["directory"] / RECORD)
        kind, facts = record["experiment"], record["facts"]
        layers, concepts = list(facts["layers"]), [Concept(*each) for each in facts["vocabulary"]]
    except (OSError, ValueError, TypeError, KeyError):  # what opens it says what is wrong
        return
    if kind != DISSECTION:
        raise StudyError(f"{given['directory']} {not_a_dissection(kind, facts.get('source'))}")
    blocks = {part.block for part in map(split_layer, layers) if part.step}
    for layer in (each for name in ("layer", "layers") for each in _listed(given.get(name))):
        block, step = split_layer(layer)
        other = block in blocks and (step is not None or given.get("at_steps"))  # another step of a dissected block
        if layer not in layers and not other:
            if given.get("at_steps") and step is None:
                raise UnknownName("block", layer, sorted(blocks))
            raise UnknownName("layer", layer, layers)
    known = {each.name for each in concepts}
    for concept in _listed(given.get("concept")):
        for each in [concept] if concept in known else concept.split(","):  # names may have commas in them
            if each.strip():
                find_concept(concepts, each.strip())


def _listed(value: Any) -> list[str]:
    """Return the texts of an option that takes one or several."""
    values = [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else []
    return [each for each in values if isinstance(each, str)]


def _is_copy(directory: Path) -> bool:
    """Whether a directory is in the cache, as the copy of a study at a URL, which may be still to come."""
    with contextlib.suppress(RuntimeError):  # there is no home directory
        return cache_directory() in directory.parents
    return False


def _check_model(kind: str, name: str) -> None:
    family, argument, _ = split_name(name)
    families, bundled = entries_of(f"ganatomy.{kind}s"), bundled_names(*KINDS[kind])
    if family not in families:
        suggested = list(_suggestions(kind, name, bundled))
        raise UnknownName(kind, name if suggested else family, families, suggested)
    if family == "bundled" and argument not in bundled:
        raise UnknownName(f"bundled {kind}", argument, bundled)
    if argument.endswith(WEIGHTS) and ":" not in argument and not Path(argument).exists():
        raise BadFile(f"{argument}: no such file")


def _suggestions(kind: str, name: str, bundled: list[str]) -> Iterator[str]:
    """Yield names that may have been meant by one without a family."""
    if name.endswith(WEIGHTS):
        yield from (f"{family}:{name}" for family in READERS[kind])
        yield f"torch:MODULE:CALLABLE?weights={name}"
    elif ":" not in name:
        yield from (f"bundled:{each}" for each in difflib.get_close_matches(name, bundled, cutoff=0.7))
