"""Scene parsing of ADE20K's 150 objects (Zhou et al. 2017): a dilated ResNet and a pyramid pooling module.

In the layout of the authors' own PyTorch checkpoints (``resnet50dilated-ppm_deepsup``, ``resnet101dilated-…``).
"""

import csv
from collections.abc import Collection, Sequence
from importlib.resources import files
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ganatomy.core.errors import BadFile, UnknownName
from ganatomy.core.files import read_json, read_text
from ganatomy.core.fingerprint import fingerprint
from ganatomy.core.vocabulary import NOTHING, Concept, checked_vocabulary
from ganatomy.models.segmenters.checkpoint_loading import conv_norm, load_folded, output_channels, read_parts
from ganatomy.models.segmenters.parser import (
    ChannelGroup,
    InferenceSizes,
    LabelSpace,
    Normalisation,
    SceneParser,
    parse_sizes,
)
from ganatomy.models.segmenters.pooling_ops import convolve_joined
from ganatomy.models.segmenters.registry import SEGMENTERS
from ganatomy.models.segmenters.resnet import load_resnet
from ganatomy.models.weights import State, locate

BINS = (1, 2, 3, 6)
"""Into how many bins a side the pyramid pooling module divides the map."""

COLOURS = {
    "rgb": Normalisation(bgr=False, means=(123.675, 116.28, 103.53), scales=(58.395, 57.12, 57.375)),
    "bgr": Normalisation(bgr=True, means=(102.9801, 115.9465, 122.7717)),
}
"""Of the networks released since 2019, and of the first ones."""

LISTS = ("labels.json", "object150_info.csv", "objectInfo150.csv")
"""Files that may name the classes, the first that is there."""


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
        self.classes = classes

    def forward(self, stages: Sequence[Tensor], heads: Collection[str]) -> dict[str, Float[Tensor, "b c h w"]]:
        """Return the logits of the one head, "object", on the grid of the last stage."""
        assert set(heads) == {"object"}
        conv, *rest = self.conv_last.children()
        assert isinstance(conv, nn.Conv2d)
        joined = convolve_joined(conv, stages[-1], [pool(stages[-1]) for pool in self.ppm])
        for step in rest:
            joined = step(joined)
        return {"object": joined}


def load_pyramid_pooling(state: State, source: str, width: int) -> PyramidPooling:
    """Build the decoder of a state dict, for an encoder of that width, and load it without deep supervision."""
    state = {name: tensor for name, tensor in state.items() if "_deepsup." not in name}
    names = ["ppm.0.1.weight", "conv_last.0.weight", "conv_last.4.weight"]
    expected = "a pyramid pooling decoder (ppm.0 to ppm.3, conv_last)"
    pooled, wide, classes = output_channels(state, names, source, expected)
    return load_folded(lambda: PyramidPooling(width, pooled, wide, classes), state, source)


def read_names(directory: Path, classes: int) -> list[str]:
    """Return the names of the classes: listed in the directory, else those of ADE20K.

    A list is ``labels.json``, a JSON list of names, or the authors' table, ``object150_info.csv`` or
    ``objectInfo150.csv``, whose column Name begins with the name.
    """
    source = next((path for name in LISTS if (path := directory / name).is_file()), None)
    try:
        if source is None:
            names = (files("ganatomy.models.segmenters") / "ade20k.txt").read_text(encoding="utf-8").splitlines()
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
        found = f"{source} lists {len(names)} names" if source else f"{directory} lists no names, and ADE20K has 150"
        raise BadFile(f"{found}, but the decoder has {classes} classes; give their names in labels.json")
    return names


@SEGMENTERS.register("ade20k", data=True)
def open_ade20k(
    directory: str, /, *, device: torch.device, sizes: str = "256", colours: str = "rgb", dtype: str = "float32"
) -> SceneParser:
    """Open the parser of a directory with its encoder and decoder.

    Args:
        directory: of files with their published names or ``encoder*`` and ``decoder*``; or a fetched model.
        device: where it computes.
        sizes: of the network's input, such as ``256,320``; the scores of all are averaged.
        colours: of the training, ``rgb`` or ``bgr``; the latter is for the first release, of 2018, alone.
        dtype: the number format in which the network computes.
    """
    if colours not in COLOURS:
        raise UnknownName("colours", colours, COLOURS)
    inference = InferenceSizes(parse_sizes(sizes), dtype)
    folder = locate(directory)
    (encoder_state, encoder_file), (decoder_state, decoder_file) = read_parts(folder)
    encoder = load_resnet(encoder_state, encoder_file, dilated=True)
    decoder = load_pyramid_pooling(decoder_state, decoder_file, encoder.widths[-1])
    names = read_names(folder, decoder.classes)
    concepts = checked_vocabulary([NOTHING, *(Concept(name, "object") for name in names)], str(folder))
    space = LabelSpace(concepts, [ChannelGroup("object", "object", slice(None), range(1, len(concepts)))])
    identity = fingerprint(encoder_state, "ade20k", fingerprint(decoder_state), space, COLOURS[colours], inference)
    return SceneParser(encoder.to(device), decoder.to(device), space, COLOURS[colours], inference, identity)
