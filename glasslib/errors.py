"""The one exception that users see."""


class GlasslibError(Exception):
    """Bad input or a run that cannot go on: one line that names the thing and the remedy.

    The command line prints it without a traceback.
    """
