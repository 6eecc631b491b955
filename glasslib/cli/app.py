"""What the commands share."""

from typing import Annotated

import typer

app = typer.Typer(
    name="glasslib",
    help="From ab initio frames to the dynamics of sodium silicate melts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)

Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]


def example(*lines):
    """Text for the foot of a command's help."""
    return "Examples:\n\n" + "\n\n".join(f"  [cyan]{line}[/cyan]" for line in lines)
