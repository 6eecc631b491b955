"""Training of a potential on labelled frames, and its errors."""

from .config import TrainConfig
from .evaluate import evaluate, parity, summary
from .loop import train
from .pair_teacher import PairTeacher

__all__ = ["PairTeacher", "TrainConfig", "evaluate", "parity", "summary", "train"]
