"""Figures of the book: one style, one function a figure. Each takes results and returns a matplotlib Figure; none computes physics."""

from .distances import hop_lengths, jumps, two_maxima, van_hove, van_hove_distinct
from .front_page import as_png, front
from .melts import against_time, diffusion, finite_size, points, without_species
from .potentials import (
    ablation,
    conservation,
    coverage,
    dimers,
    errors,
    history,
    labels,
    learning_curve,
    parity,
    reliability,
    run_log,
)
from .speed import ratios, scaling
from .structure import angles, bars, by_distance, structure_factor
from .theme import SPECIES, about, style

__all__ = [
    "SPECIES", "about", "against_time", "angles", "as_png", "bars", "by_distance", "conservation", "coverage", "diffusion", "dimers",
    "ablation", "errors", "finite_size", "front", "history", "hop_lengths", "jumps", "labels", "learning_curve", "parity", "points", "ratios", "reliability", "run_log", "scaling", "structure_factor", "style", "two_maxima",
    "van_hove", "van_hove_distinct", "without_species",
]  # fmt: skip
