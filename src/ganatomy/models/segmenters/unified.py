"""The unified parser (Xiao et al. 2018), with which the paper labels images: objects, materials and parts at once."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from ganatomy.core.errors import BadFile
from ganatomy.core.files import read_json
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.vocabulary import NOTHING, Concept, checked_vocabulary
from ganatomy.models.segmenters.checkpoint_loading import read_parts
from ganatomy.models.segmenters.parser import (
    ChannelGroup,
    InferenceSizes,
    LabelSpace,
    Normalisation,
    SceneParser,
    parse_sizes,
)
from ganatomy.models.segmenters.registry import SEGMENTERS
from ganatomy.models.segmenters.resnet import load_resnet
from ganatomy.models.segmenters.upernet import load_upernet
from ganatomy.models.weights import locate

OWNERS = ("sky", "building", "person")
"""The objects whose parts are read (SPEC 3)."""

COLOURS = Normalisation(bgr=True, means=(102.9801, 115.9465, 122.7717))

NONE = "-"
"""The first entry of every list in a ``labels.json``."""


class Lists(NamedTuple):
    """The names of a ``labels.json`` in channel order; parts by the object that they are of."""

    objects: Sequence[str]
    materials: Sequence[str]
    parts: Mapping[str, Sequence[str]]

    @property
    def channels(self) -> dict[str, int]:
        """The channels of each head."""
        parts = sum(len(names) for names in self.parts.values())
        return {"object": len(self.objects), "material": len(self.materials), "part": parts}

    def part_channels(self) -> dict[str, range]:
        """Return the channels of the parts of each owner that is read."""
        ends = itertools.accumulate((len(names) for names in self.parts.values()), initial=0)
        channels = {owner: range(*ends) for owner, ends in zip(self.parts, itertools.pairwise(ends), strict=True)}
        return {owner: channels[owner] for owner in OWNERS if owner in channels and owner in self.objects}


def read_lists(path: Path) -> Lists:
    """Read a ``labels.json``."""
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


def label_space(lists: Lists, source: str, *, halves: bool = False) -> LabelSpace:
    """Number the concepts as the published code does, and assign channels to them (SPEC 3).

    Objects come first, then their halves if asked for, materials, and parts. A part with the name of an object is that
    object.
    """
    objects = len(lists.objects) - 1
    concepts = [NOTHING, *(Concept(name, "object") for name in lists.objects[1:])]
    if halves:
        concepts += [Concept(f"{name}-{half}", "part") for half in "tlbr" for name in lists.objects[1:]]
    first = len(concepts)
    concepts += [Concept(name, "material") for name in lists.materials[1:]]
    groups = [
        ChannelGroup("object", "object", slice(None), range(objects + 1)),
        ChannelGroup("material", "material", slice(None), [0, *range(first, len(concepts))]),
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
        groups.append(ChannelGroup("parts", "part", channels, [numbers[name] for name in names], numbers[owner]))
    return LabelSpace(checked_vocabulary(concepts, source), groups, objects if halves else 0)


@SEGMENTERS.register("unified", data=True)
def open_unified(
    directory: str, /, *, device: torch.device, sizes: str = "256", halves: bool = False, dtype: str = "float32"
) -> SceneParser:
    """Open the unified parser of a directory with its encoder, its decoder and ``labels.json``.

    Args:
        directory: of files with their published names or ``encoder*`` and ``decoder*``; or a fetched model.
        device: where it computes.
        sizes: of the network's input, such as ``256,320``; the scores of all are averaged.
        halves: whether objects have halves as well, in the published numbering.
        dtype: the number format in which the network computes.
    """
    inference = InferenceSizes(parse_sizes(sizes), dtype)
    folder = locate(directory)
    (encoder_state, encoder_file), (decoder_state, decoder_file) = read_parts(folder)
    names = folder / "labels.json"
    lists = read_lists(names)
    space = label_space(lists, str(names), halves=halves)
    encoder = load_resnet(encoder_state, encoder_file)
    decoder = load_upernet(decoder_state, decoder_file, encoder.widths)
    for head, listed in lists.channels.items():
        if listed != (made := decoder.heads[head]):
            raise BadFile(f"{names}: lists {listed} names for the {head} head, which has {made} channels")
    decoder.keep("part", [i for channels in lists.part_channels().values() for i in channels])
    identity = fingerprint(encoder_state, "unified", fingerprint(decoder_state), space, COLOURS, inference)
    return SceneParser(encoder.to(device), decoder.to(device), space, COLOURS, inference, identity)
