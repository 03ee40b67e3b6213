"""The command line: arguments → Spec → experiment, and the ways in which that can end."""

import os
import sys
from collections.abc import Sequence

from ganatomy.cli.arguments import parse
from ganatomy.errors import GanatomyError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 2 a mistake that the user can mend, 130 stopped by Ctrl-C.

    A mistake is one line on stderr. Anything else that is raised is a fault of ours, and keeps its traceback.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # threads that spin for long while they wait starve others
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
        arguments.run(arguments)
        sys.stdout.flush()
    except GanatomyError as error:
        return _end(" ".join(str(error).split()), 2)
    except KeyboardInterrupt:
        return _end("stopped; run the same command again to resume", 130)
    except BrokenPipeError:  # the reader of our output, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _end(line: str, code: int) -> int:
    sys.stderr.write(f"ganatomy: {line}\n")
    return code
