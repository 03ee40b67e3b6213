"""The command line: arguments → Spec → experiment, and the ways in which that can end."""

import os
import sys
from collections.abc import Sequence

from ganatomy.cli.arguments import parse
from ganatomy.cli.merge import left_to_others
from ganatomy.errors import GanatomyError, PartsMissing

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 the answer is no (`doctor`), 2 a mistake, 130 Ctrl-C.

    A part of a run (``--shard``) is done, too, when it is for other parts to go on.

    A mistake that the user can mend is one line on stderr. Anything else that is raised is a fault of ours, and keeps
    its traceback.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # threads that spin for long while they wait starve others
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
        try:
            code = arguments.run(arguments) or 0
        except PartsMissing as missing:
            code = left_to_others(missing, arguments)
        sys.stdout.flush()
    except GanatomyError as error:
        return _end(" ".join("; ".join([str(error), *getattr(error, "__notes__", [])]).split()), 2)
    except KeyboardInterrupt:
        return _end("stopped; run the same command again to resume", 130)
    except BrokenPipeError:  # the reader of our output, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return int(code)


def _end(line: str, code: int) -> int:
    sys.stderr.write(f"ganatomy: {line}\n")
    return code
