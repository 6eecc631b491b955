"""The `glasslib` command: every step of the pipeline over the same library calls that the notebooks use."""

import sys
from importlib import import_module

from ..errors import GlasslibError
from .app import app

for part in ("data", "training", "runs", "results"):  # the order of the commands in the help
    import_module(f".{part}", __package__)


def main():
    """Entry point: errors meant for users are one line on standard error, exit status 2."""
    try:
        app()
    except GlasslibError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
