"""The one exception that users see."""

import reprlib

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 70


class GlasslibError(Exception):
    """Bad input or a run that cannot go on: one line that names the thing and the remedy.

    The command line prints it without a traceback.
    """


class StoppedError(GlasslibError):
    """A simulation that has left physics: its guard has stopped it."""


def shown(value, width=80):
    """`value` as it may stand in a message: short, whatever a file held."""
    try:
        text = _SHORT.repr(value)
    except Exception:  # an integer of thousands of digits has no repr
        text = f"a {type(value).__name__}"
    return text if len(text) <= width else text[: width - 1] + "…"
