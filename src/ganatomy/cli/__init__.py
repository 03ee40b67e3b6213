"""The command line: arguments → Spec → experiment, and the ways in which that can end."""

import os
import sys
from collections.abc import Sequence

from ganatomy.cli import process
from ganatomy.cli.arguments import parse
from ganatomy.cli.engine import run_with_engine
from ganatomy.core.errors import GanatomyError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 is done (also of one ``--shard`` of a run), 1 a negative answer (`doctor`), 2 a user's mistake, which is one line
    on stderr, 130 Ctrl-C, 143 SIGTERM. Anything else that is raised is a fault of ours, and keeps its traceback.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # threads that spin for long while they wait starve others
    with process.prepared():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
        code = run_with_engine(arguments)
        sys.stdout.flush()
    except GanatomyError as error:
        return _end(" ".join("; ".join([str(error), *getattr(error, "__notes__", [])]).split()), 2)
    except KeyboardInterrupt as stop:
        return _end("stopped; run the same command again to resume", process.exit_code(stop))
    except BrokenPipeError:  # the reader of our output, `head` perhaps, has seen enough
        process.discard(sys.stdout)
        return 1
    except (OSError, ImportError, MemoryError, RuntimeError) as error:
        if (line := process.machine_error(error)) is None:
            raise
        process.discard(sys.stdout)
        return _end(line, 2)
    return code


def _end(line: str, code: int) -> int:
    try:
        sys.stderr.write(f"ganatomy: {line}\n")
        sys.stderr.flush()
    except OSError:  # stderr is closed, or full; what is left in its buffer would change the exit code
        process.discard(sys.stderr)
    return code
