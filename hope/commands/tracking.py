"""Commands on the MLflow store of a study."""

import argparse

from hope.commands.declaration import STUDY, argument, command


@command(STUDY, argument("--port", type=int, default=5000, help="port of the page (5000)"))
def ui(options: argparse.Namespace) -> None:
    """Open the MLflow UI on a study, on this machine only."""
    from hope.tracking.server import serve

    serve(options.study, options.port)


@command(STUDY, argument("--uri", default="", help="an MLflow server, in place of the study's own store"))
def sync(options: argparse.Namespace) -> None:
    """Bring the tracking store up to date with a study's files."""
    from hope.tracking.store import sync

    sync(options.study, options.uri or None)
