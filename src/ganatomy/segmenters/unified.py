"""The unified parser (Xiao et al. 2018), with which the paper labels images: objects, materials and parts at once."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from ganatomy.errors import BadFile
from ganatomy.files import read_json
from ganatomy.segmenters.parser import Colours, Group, Parser, Reading, Words, parse_sizes
from ganatomy.segmenters.published import find_weights
from ganatomy.segmenters.registry import SEGMENTERS
from ganatomy.segmenters.resnet import load_resnet
from ganatomy.segmenters.upernet import UPerNet, load_upernet
from ganatomy.vocabulary import NOTHING, Concept, checked_vocabulary
from ganatomy.weights import find, fingerprint, read_state

OWNERS = ("sky", "building", "person")
"""The objects whose parts are read (SPEC 3)."""

COLOURS = Colours(bgr=True, means=(102.9801, 115.9465, 122.7717))

NONE = "-"
"""What the first entry of every list in a ``labels.json`` is."""


class Lists(NamedTuple):
    """A ``labels.json``: the channels of the heads, by name; parts for each object that has any, in channel order."""

    objects: Sequence[str]
    materials: Sequence[str]
    parts: Mapping[str, Sequence[str]]

    @property
    def channels(self) -> dict[str, int]:
        """How many channels each head must have."""
        parts = sum(len(names) for names in self.parts.values())
        return {"object": len(self.objects), "material": len(self.materials), "part": parts}

    def part_channels(self) -> dict[str, range]:
        """Return where the parts of each owner are among all channels of parts."""
        ends = itertools.accumulate((len(names) for names in self.parts.values()), initial=0)
        where = {owner: range(*ends) for owner, ends in zip(self.parts, itertools.pairwise(ends), strict=True)}
        return {owner: where[owner] for owner in OWNERS if owner in where and owner in self.objects}


def read_lists(path: Path) -> Lists:
    """Read a ``labels.json``.

    Raises:
        BadFile: it is missing, or not such a file.
    """
    try:
        content = read_json(path)
        lists = Lists(content["object"], content["material"], content["object_part"])
        every = [lists.objects, lists.materials, *lists.parts.values()]
        if not all(isinstance(names, list) and names[:1] == [NONE] for names in every):
            raise ValueError(f"a list that does not begin with {NONE!r}")
        if not all(isinstance(name, str) for names in every for name in names):
            raise ValueError("a name that is no text")
    except FileNotFoundError:
        raise BadFile(f"{path}: no such file; the names of the parser's labels must lie beside its weights") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadFile(f"{path}: not the labels of a unified parser ({error!r})") from error
    return lists


def words_of(lists: Lists, source: str, *, halves: bool = False) -> Words:
    """Number the concepts as the published code does, and say which channels show them (SPEC 3).

    Objects come first, then their halves if asked for, materials, and parts. A part that is called as an object is that
    object.

    Raises:
        BadFile: a name is listed twice; names the source.
    """
    objects = len(lists.objects) - 1
    concepts = [NOTHING, *(Concept(name, "object") for name in lists.objects[1:])]
    if halves:
        concepts += [Concept(f"{name}-{half}", "part") for half in "tlbr" for name in lists.objects[1:]]
    first = len(concepts)
    concepts += [Concept(name, "material") for name in lists.materials[1:]]
    groups = [
        Group("object", "object", slice(None), range(objects + 1)),
        Group("material", "material", slice(None), [0, *range(first, len(concepts))]),
    ]
    numbers = {name: i for i, name in enumerate(lists.objects)}
    begin = 0
    for owner in lists.part_channels():
        names = lists.parts[owner]
        for name in names[1:]:
            if name not in numbers:
                numbers[name] = len(concepts)
                concepts.append(Concept(name, "part"))
        channels = slice(begin, begin := begin + len(names))
        groups.append(Group("parts", "part", channels, [numbers[name] for name in names], numbers[owner]))
    return Words(checked_vocabulary(concepts, source), groups, objects if halves else 0)


def _fit_heads(decoder: UPerNet, lists: Lists, source: Path) -> None:
    """Check that the heads have the channels that are listed, and leave the part head those that are read.

    Raises:
        BadFile: a head has another number; names both.
    """
    for head, listed in lists.channels.items():
        if listed != (made := decoder.heads[head]):
            raise BadFile(f"{source}: lists {listed} names for the {head} head, which has {made} channels")
    decoder.keep("part", [i for channels in lists.part_channels().values() for i in channels])


@SEGMENTERS.register("unified", data=True)
def open_unified(
    directory: str, /, *, device: torch.device, sizes: str = "256", halves: bool = False, dtype: str = "float32"
) -> Parser:
    """Open the unified parser of a directory with its encoder, its decoder and ``labels.json``.

    Args:
        directory: where they lie, under their published names or as ``encoder*`` and ``decoder*``; or a fetched model.
        device: where it computes.
        sizes: at which sizes images are read, such as ``256,320``; the scores of all are added.
        halves: whether objects have halves as well, in the published numbering.
        dtype: in which number format the network computes.
    """
    reading = Reading(parse_sizes(sizes), dtype)
    folder = find(directory)
    encoder_file, decoder_file = (find_weights(folder, part) for part in ("encoder", "decoder"))
    lists = read_lists(folder / "labels.json")
    words = words_of(lists, str(folder / "labels.json"), halves=halves)
    encoder_state, decoder_state = read_state(encoder_file), read_state(decoder_file)
    encoder = load_resnet(encoder_state, str(encoder_file))
    decoder = load_upernet(decoder_state, str(decoder_file), encoder.widths)
    _fit_heads(decoder, lists, folder / "labels.json")
    identity = fingerprint(encoder_state, "unified", fingerprint(decoder_state), words, reading)
    return Parser(encoder.to(device), decoder.to(device), words, COLOURS, reading, identity)
