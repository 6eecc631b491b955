"""What the commands share."""

import json
from typing import Annotated

import typer

from ..errors import GlasslibError

app = typer.Typer(
    name="glasslib",
    help="From ab initio frames to the dynamics of sodium silicate melts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)

Seed = Annotated[int, typer.Option(help="Seed of every random choice.", min=0)]


SplitSeed = Annotated[
    int,
    typer.Option(
        help="Another one is another division into train, validation and test; a potential is tested fairly only with that of its training.",
        min=0,
    ),
]


def example(*lines):
    """Text for the foot of a command's help."""
    return "Examples:\n\n" + "\n\n".join(f"  [cyan]{line}[/cyan]" for line in lines)


def settings(texts):
    """Values by name from the command line's "name=value"s, each read as JSON where it is JSON and as a string where not."""
    values = {}
    for name, sign, text in (text.partition("=") for text in texts or []):
        if not sign:
            raise GlasslibError(f"parameter {name!r} has no value: write {name}=VALUE")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values


def integers(option, text):
    """Whole numbers with commas between."""
    try:
        return [int(one) for one in text.split(",")]
    except ValueError:
        raise GlasslibError(f"{option} must be whole numbers with commas between, not {text!r}") from None
