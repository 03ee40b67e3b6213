"""``ganatomy serve``: open finished studies in a browser."""

import argparse
import contextlib
import secrets
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganatomy.cli.parser import add_command, add_device, study
from ganatomy.core.errors import BadValue

MISSING = "the web app needs more packages: pip install 'ganatomy[web]'"


def add_serve(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "serve", serve, "open finished studies in a browser: paint, browse, annotate")
    parser.epilog = "example: ganatomy serve study"
    parser.add_argument("directories", nargs="+", type=study, metavar="STUDY", help="finished dissections")
    parser.add_argument("--host", default="127.0.0.1", metavar="NAME", help="who can reach it (127.0.0.1: only you)")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="0 for any that is free (8000)")
    parser.add_argument(
        "--token", default=None, metavar="TEXT", help="what visitors must know (made up with --host or --root-path)"
    )
    text = "a SQLite file or a database URL (next to the first study)"
    parser.add_argument("--annotations", metavar="WHERE", default=None, help=text)
    text = "where a proxy puts it, such as /user/ann/proxy/8000 of a JupyterHub (none)"
    parser.add_argument("--root-path", default="", metavar="PATH", help=text)
    text = "while the server is idle, find the setting that inserts each of eight concepts best, once a study (yes)"
    parser.add_argument("--measure-brushes", action=argparse.BooleanOptionalAction, default=True, help=text)
    add_device(parser)


def serve(arguments: Namespace) -> None:
    """Serve until Ctrl-C."""
    try:
        import uvicorn

        from ganatomy.annotations import open_annotations
        from ganatomy.web import Painter, create_app
        from ganatomy.web.connections import server_config
    except ModuleNotFoundError as error:
        if (error.name or "ganatomy").startswith("ganatomy"):
            raise  # a fault of ours
        raise BadValue(f"{MISSING} ({error.name} is not installed)") from error
    from ganatomy.experiments.causal.dissected_model import open_source
    from ganatomy.study.lock import reading

    directories, host, token = arguments.directories, arguments.host, arguments.token
    names = zip(study_names(directories), directories, strict=True)
    painters = {name: Painter(open_source(directory, arguments.device)) for name, directory in names}
    if token is None and (arguments.root_path or not is_this_machine(host)):  # who reaches the proxy reaches it
        token = secrets.token_urlsafe(16)
    kept = open_annotations(arguments.annotations or directories[0].resolve().parent / "annotations.sqlite")
    how = {"measure": arguments.measure_brushes, "root_path": arguments.root_path}
    app = create_app(painters, token=token, annotations=kept, **how)
    listening = _listen(host, arguments.port)
    address = f"http://{shown_host(host)}:{listening.getsockname()[1]}{arguments.root_path.rstrip('/')}/"
    sys.stdout.write(address + (f"?token={token}" if token else "") + "\nCtrl-C ends it\n")
    sys.stdout.flush()
    with contextlib.ExitStack() as held:
        held.enter_context(contextlib.suppress(KeyboardInterrupt))  # that is how it ends
        for directory in directories:
            held.enter_context(reading(directory))
        uvicorn.Server(server_config(app)).run(sockets=[listening])
    kept.close()


def study_names(directories: Sequence[Path]) -> list[str]:
    """Return a short name for each study, the last part of its path, numbered where two are alike.

    >>> study_names([Path("runs/church"), Path("old/church")])
    ['church', 'church-2']
    """
    names: list[str] = []
    for directory in directories:
        base = directory.resolve().name or "study"
        numbered = [base, *(f"{base}-{number}" for number in range(2, len(names) + 3))]
        names.append(next(name for name in numbered if name not in names))
    return names


def is_this_machine(host: str) -> bool:
    """Whether only this machine can reach a server at this address."""
    return host in ("localhost", "::1") or host.startswith("127.")


def shown_host(host: str) -> str:
    """Return how an address names a host: this machine by its own name, others by theirs, with IPv6 in brackets.

    >>> [shown_host(host) for host in ("127.0.0.1", "0.0.0.0", "::", "fe80::1", "studio.example")]
    ['localhost', 'localhost', 'localhost', '[fe80::1]', 'studio.example']
    """
    if is_this_machine(host) or host in ("0.0.0.0", "::", ""):  # noqa: S104  all addresses, this machine's too
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> Any:
    """Return a socket that listens already: whoever reads the address may come before the server is ready."""
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    own = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, so that small answers are sent at once
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        own.bind((host, port))
        own.listen()
    except (OSError, OverflowError) as error:
        own.close()
        raise BadValue(f"cannot listen on {host}:{port} ({error}); try --port 0") from error
    return own
