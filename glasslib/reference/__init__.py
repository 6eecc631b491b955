"""Ab initio reference data: frames, their labels, and how they are chosen, split and corrected."""

from .collect import collect
from .frames import extxyz, read_frames, statistics, write_frames
from .labelling import label_queue
from .splits import split

__all__ = ["collect", "extxyz", "label_queue", "read_frames", "split", "statistics", "write_frames"]
