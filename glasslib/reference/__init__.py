"""Ab initio reference data: frames, their labels, and how they are chosen, split and corrected."""

from .collect import collect
from .frames import read_frames, statistics, write_frames
from .splits import split

__all__ = ["collect", "read_frames", "split", "statistics", "write_frames"]
