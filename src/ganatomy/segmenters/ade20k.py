"""Scene parsing of ADE20K's 150 objects (Zhou et al. 2017): a dilated ResNet and a pyramid pooling module.

In the layout of the authors' own PyTorch checkpoints (``resnet50dilated-ppm_deepsup``, ``resnet101dilated-…``).
"""

import csv
from collections.abc import Collection, Sequence
from importlib.resources import files
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ganatomy.errors import BadFile, UnknownName
from ganatomy.files import read_json, read_text
from ganatomy.segmenters.gridmaps import convolve_upsampled
from ganatomy.segmenters.parser import Colours, Group, Parser, Reading, Words, parse_sizes
from ganatomy.segmenters.published import conv_norm, find_weights, load_folded, outputs
from ganatomy.segmenters.registry import SEGMENTERS
from ganatomy.segmenters.resnet import load_resnet
from ganatomy.vocabulary import NOTHING, Concept, checked_vocabulary
from ganatomy.weights import State, find, fingerprint, read_state

BINS = (1, 2, 3, 6)
"""Into how many bins a side the pyramid pooling module divides the map."""

COLOURS = {
    "rgb": Colours(bgr=False, means=(123.675, 116.28, 103.53), scales=(58.395, 57.12, 57.375)),
    "bgr": Colours(bgr=True, means=(102.9801, 115.9465, 122.7717)),
}
"""What the networks were trained on: those released since 2019, and the first ones."""

LISTS = ("labels.json", "object150_info.csv", "objectInfo150.csv")
"""The files that may name the classes, in the order in which they are looked for."""


class PyramidPooling(nn.Module):
    """The map and its means over coarse bins, joined and classified; "deep supervision" served training alone.

    `width` are the channels of the encoder's last stage, `pooled` those of a pooled map, `wide` those joined.
    """

    def __init__(self, width: int, pooled: int, wide: int, classes: int) -> None:
        super().__init__()
        self.ppm = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(bins), *conv_norm(width, pooled, 1)) for bins in BINS
        )
        self.conv_last = nn.Sequential(
            *conv_norm(width + len(BINS) * pooled, wide, 3), nn.Dropout2d(0.1), nn.Conv2d(wide, classes, 1)
        )
        self.widths = [width, *[pooled] * len(BINS)]
        self.classes = classes

    def forward(self, stages: Sequence[Tensor], heads: Collection[str]) -> dict[str, Float[Tensor, "b c h w"]]:
        """Return the logits of the one head, "object", on the grid of the last stage."""
        assert set(heads) == {"object"}
        x = stages[-1]
        conv, *rest = self.conv_last.children()
        assert isinstance(conv, nn.Conv2d)
        first, *others = torch.split(conv.weight, self.widths, 1)
        joined = F.conv2d(x, first, conv.bias, padding=1)
        for pool, weight in zip(self.ppm, others, strict=True):
            joined = joined + convolve_upsampled(pool(x), weight, (x.shape[2], x.shape[3]))
        for step in rest:
            joined = step(joined)
        return {"object": joined}


def load_pyramid_pooling(state: State, source: str, width: int) -> PyramidPooling:
    """Build the decoder that a state dict is of, for an encoder of that width, and load it without deep supervision.

    Raises:
        BadFile: it is of no such network, not whole, or of another encoder; names the source and a tensor.
    """
    state = {name: tensor for name, tensor in state.items() if "_deepsup." not in name}
    try:
        pooled, wide = outputs(state, "ppm.0.1.weight"), outputs(state, "conv_last.0.weight")
        classes = outputs(state, "conv_last.4.weight")
    except KeyError as error:
        known = "a pyramid pooling decoder (ppm.0 to ppm.3, conv_last)"
        raise BadFile(f"{source}: lacks tensor {error.args[0]}; it should hold {known}") from error
    return load_folded(lambda: PyramidPooling(width, pooled, wide, classes), state, source)


def read_names(directory: Path, classes: int) -> list[str]:
    """Return the names of the classes: listed in the directory, else those of ADE20K.

    A list is ``labels.json``, a JSON list of names, or the table that the authors give, ``object150_info.csv`` or
    ``objectInfo150.csv``, whose column Name begins with the name.

    Raises:
        BadFile: the file is no such list, or has another number of names than there are classes.
    """
    source = next((path for name in LISTS if (path := directory / name).is_file()), None)
    try:
        if source is None:
            names = (files("ganatomy") / "segmenters" / "ade20k.txt").read_text(encoding="utf-8").splitlines()
        elif source.suffix == ".json":
            names = read_json(source)
        else:
            table = csv.DictReader(read_text(source).splitlines())
            names = [row["Name"].split(";")[0] for row in table]
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise ValueError("no list of names")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, csv.Error) as error:
        raise BadFile(f"{source}: not the names of a parser's classes ({error!r})") from error
    if len(names) != classes:
        given = f"{source} lists {len(names)} names" if source else f"{directory} lists no names, and ADE20K has 150"
        raise BadFile(f"{given}, but the decoder has {classes} classes; give their names in labels.json")
    return names


@SEGMENTERS.register("ade20k", data=True)
def open_ade20k(
    directory: str, /, *, device: torch.device, sizes: str = "256", colours: str = "rgb", dtype: str = "float32"
) -> Parser:
    """Open the parser of a directory with its encoder and decoder.

    Args:
        directory: where they lie, under their published names or as ``encoder*`` and ``decoder*``; or a fetched model.
        device: where it computes.
        sizes: at which sizes images are read, such as ``256,320``; the scores of all are added.
        colours: what it was trained on, ``rgb`` or ``bgr``; only the first release, of 2018, was on the latter.
        dtype: in which number format the network computes.
    """
    if colours not in COLOURS:
        raise UnknownName("colours", colours, COLOURS)
    reading = Reading(parse_sizes(sizes), dtype)
    folder = find(directory)
    encoder_file, decoder_file = (find_weights(folder, part) for part in ("encoder", "decoder"))
    encoder_state, decoder_state = read_state(encoder_file), read_state(decoder_file)
    encoder = load_resnet(encoder_state, str(encoder_file), dilated=True)
    decoder = load_pyramid_pooling(decoder_state, str(decoder_file), encoder.widths[-1])
    names = read_names(folder, decoder.classes)
    concepts = checked_vocabulary([NOTHING, *(Concept(name, "object") for name in names)], str(folder))
    words = Words(concepts, [Group("object", "object", slice(None), range(1, len(concepts)))])
    identity = fingerprint(encoder_state, "ade20k", fingerprint(decoder_state), words, COLOURS[colours], reading)
    return Parser(encoder.to(device), decoder.to(device), words, COLOURS[colours], reading, identity)
