"""``ganatomy calibrate``: from which score on words of one's own choice are taken to be shown."""

import shlex
from argparse import Namespace
from typing import Any

from ganatomy.cli.parser import add_command, add_delivery
from ganatomy.errors import BadValue

AT_ONCE = 8
"""Images drawn at once."""


def add_calibrate(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "calibrate", calibrate, "choose the thresholds of a segmenter that has some")
    parser.add_argument("segmenter", metavar="SEGMENTER", help="clipseg:ID_OR_DIR?concepts=tree,door")
    parser.add_argument("--generator", metavar="G", default="bundled:church", help="what draws the images")
    parser.add_argument("--against", metavar="S", default=None, help="a segmenter that knows concepts of it")
    parser.add_argument("--images", type=int, metavar="N", default=64, help="images to look at (64)")
    parser.add_argument("--seed", type=int, metavar="N", default=1, help="of the latents (1, where studies have 0)")
    add_delivery(parser)


def calibrate(arguments: Namespace) -> None:
    """Choose thresholds, tell where each comes from, and print the segmenter's name with them."""
    import pandas as pd
    import torch
    from rich.console import Console

    from ganatomy.cli import terminal
    from ganatomy.cli.verbs import print_json, rows
    from ganatomy.generators import open_subject
    from ganatomy.segmenters import open_segmenter
    from ganatomy.segmenters.clipseg import ClipSegmenter, calibrate, with_thresholds

    if arguments.images < 1:
        raise BadValue(f"--images {arguments.images}: expected at least 1")
    segmenter = open_segmenter(arguments.segmenter, arguments.device)
    if not isinstance(segmenter, ClipSegmenter):
        raise BadValue(f"{arguments.segmenter} has no thresholds to choose; expected a clipseg:")
    reference = None if arguments.against is None else open_segmenter(arguments.against, arguments.device)
    generator = open_subject(arguments.generator, arguments.device)
    latents = torch.split(generator.latents(range(arguments.images), arguments.seed), AT_ONCE)
    images = torch.cat([generator.observe(z, []).images.cpu() for z in latents])
    found = calibrate(segmenter, images, reference)
    spec = with_thresholds(arguments.segmenter, [each.threshold for each in found])
    table = pd.DataFrame(found, columns=["concept", "threshold", "how", "quality", "shown"])
    if arguments.json:
        return print_json({"segmenter": spec, "concepts": rows(table)})
    Console(highlight=False, emoji=False).print(terminal.table(table))
    return terminal.say(shlex.quote(spec))
