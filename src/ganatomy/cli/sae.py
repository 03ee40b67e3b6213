"""``ganatomy sae``: train a sparse autoencoder of a layer."""

from argparse import Namespace
from typing import Any

from ganatomy.api.autoencoders import FEATURES, IMAGES, SAVE_EVERY, SPARSITY, located
from ganatomy.cli.answers import announce, answer, progress
from ganatomy.cli.parser import OUTPUT, add_command, add_device, add_format, add_quiet, local_directory
from ganatomy.experiments.option_groups import MEASURED, RUN, SAMPLE


def add_sae(commands: Any) -> None:
    """Add the command."""
    text = "train a sparse autoencoder of a layer"
    parser = add_command(commands, "sae", sae, text, "sae bundled:church --layer layer5 --out church-sae")
    parser.add_argument("trained_on", metavar="STUDY", help="a finished dissection, or the name of a generator")
    group = parser.group(MEASURED)
    text = "whose places are learned; of a model with steps one of them, up2@4, or several, up2@1..8"
    group.add_argument("--layer", metavar="NAME", required=True, help=text)
    text = f"how many features there are ({FEATURES})"
    group.add_argument("--features", type=int, metavar="N", default=FEATURES, help=text)
    text = f"how many of them may be active at a place ({SPARSITY})"
    group.add_argument("--sparsity", type=int, metavar="N", default=SPARSITY, help=text)
    group = parser.group(SAMPLE)
    text = f"images to draw and learn from; 0 writes the autoencoder as it begins, untrained ({IMAGES})"
    group.add_argument("--images", type=int, metavar="N", default=IMAGES, help=text)
    text = "of the images, which no dissection looks at, and of the first weights (that of the study, or 0)"
    group.add_argument("--seed", type=int, metavar="N", default=None, help=text)
    group = parser.group(RUN)
    add_device(group)
    text = f"seconds between two times at which the state is saved, of which it goes on ({SAVE_EVERY:g})"
    group.add_argument("--save-every", type=float, metavar="SECONDS", default=SAVE_EVERY, help=text)
    text = "the directory, of this training alone"
    parser.group(OUTPUT).add_argument("--out", type=local_directory, metavar="DIR", required=True, help=text)
    add_format(parser)
    add_quiet(parser)


def sae(arguments: Namespace) -> None:
    """Train, and show the scores."""
    from ganatomy.cli import terminal
    from ganatomy.training.sae.run import plan, train

    given = vars(arguments)
    names = ("layer", "features", "sparsity", "images", "seed", "device")
    planned = plan(located(arguments.trained_on), *(given[name] for name in names))

    def estimate(seconds: float) -> None:
        taken = f"{arguments.features} features of {arguments.layer} of {planned.generator}, {arguments.images} images"
        announce(arguments, f"{taken}, about {terminal.duration(seconds)} left, in {arguments.out}")

    result = train(planned, arguments.out, arguments.save_every, progress(arguments), estimate)
    place, scores = str(result.directory), dict(result.scores)

    def show() -> None:
        share, l0, dead = scores.values()
        line = f"variance explained {share:.1%}, L0 {l0:.1f}, dead features {dead:.1%}"
        terminal.print_line(f"on images that were held out: {line}")
        terminal.print_line(f"in {place}: sae.safetensors, and its card sae.json")

    answer(arguments, show, lambda: {"directory": place, **result.card}, lambda: [{"directory": place, **scores}])
