"""Training of a potential on labelled frames, and its errors."""

from .config import TrainConfig
from .evaluate import evaluate, parity, summary
from .loop import train

__all__ = ["TrainConfig", "evaluate", "parity", "summary", "train"]
