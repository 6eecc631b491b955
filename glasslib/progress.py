"""Progress that neither floods a notebook nor hides in a log: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time


class Progress:
    """Count towards `total` and say how far it is.

    Parameters
    ----------
    total : int
        Number of units of work.
    label, unit : str
        What is being done and in what it is counted.
    every : float
        Seconds between two reports where output is not a terminal (0.2 s on one).
    stream : file
        Default: standard error.
    quiet : bool
        Count and say nothing.
    """

    def __init__(self, total, label, unit="", every=15.0, stream=None, done=0, quiet=False):
        self.quiet = quiet
        self.total, self.label, self.unit = int(total), label, unit
        self.stream = sys.stderr if stream is None else stream
        self.terminal = self.stream.isatty()
        self.every = 0.2 if self.terminal else every
        self.done = self.first = int(done)
        self.start = self.last = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.report(final=True)

    def update(self, step=1, note=""):
        """Count `step` more units; `note` (a string, or a callable that makes one) is shown beside the count."""
        self.done += step
        if time.monotonic() - self.last >= self.every:
            self.report(note() if callable(note) else note)

    def report(self, note="", final=False):
        """Print the state now."""
        if self.quiet:
            return
        self.last = time.monotonic()
        spent = self.last - self.start
        rate = (self.done - self.first) / spent if spent > 0 else 0.0
        left = f", {clock((self.total - self.done) / rate)} left" if rate > 0 and self.done < self.total else ""
        share = self.done / self.total if self.total else 1.0
        text = f"{self.label}: {self.done}/{self.total} {self.unit} ({share:.0%}), {clock(spent)}{left}"
        text = f"{text}  {note}" if note else text
        if self.terminal:
            self.stream.write(f"\r\x1b[2K{text}" + ("\n" if final else ""))
        else:
            self.stream.write(text + "\n")
        self.stream.flush()


def progress(iterable, label, unit="", total=None, **options):
    """Iterate over `iterable`, reporting how far it is."""
    total = len(iterable) if total is None else total
    with Progress(total, label, unit, **options) as bar:
        for item in iterable:
            yield item
            bar.update()


def clock(seconds):
    """Seconds as a short readable duration.

    >>> clock(75)
    '1 min 15 s'
    """
    seconds = int(round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
