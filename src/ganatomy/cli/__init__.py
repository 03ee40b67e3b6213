"""The command line: arguments → Spec → experiment, and the ways in which that can end."""

import contextlib
import os
import sys
from collections.abc import Sequence

from ganatomy.cli import surroundings
from ganatomy.cli.arguments import parse
from ganatomy.cli.engine import opened, report_missing
from ganatomy.errors import GanatomyError, PartsMissing

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 is done, 1 an answer that is no (`doctor`), 2 a mistake, 130 Ctrl-C, 143 a scheduler that asks it to end.

    A part of a run (``--shard``) is done, too, when it is for other parts to go on.

    A mistake that the user can mend is one line on stderr. Anything else that is raised is a fault of ours, and keeps
    its traceback.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # threads that spin for long while they wait starve others
    with surroundings.prepared():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
        try:
            with opened(arguments):
                code = arguments.run(arguments) or 0
        except PartsMissing as missing:
            report_missing(missing, arguments.json)
            code = 0
        sys.stdout.flush()
    except GanatomyError as error:
        return _end(" ".join("; ".join([str(error), *getattr(error, "__notes__", [])]).split()), 2)
    except KeyboardInterrupt as stop:
        return _end("stopped; run the same command again to resume", surroundings.code_of(stop))
    except BrokenPipeError:  # the reader of our output, `head` perhaps, has seen enough
        surroundings.quiet_output()
        return 1
    except OSError as error:
        if (line := surroundings.refusal(error)) is None:
            raise
        surroundings.quiet_output()
        return _end(line, 2)
    return int(code)


def _end(line: str, code: int) -> int:
    with contextlib.suppress(OSError):  # nobody can be told
        sys.stderr.write(f"ganatomy: {line}\n")
    return code
