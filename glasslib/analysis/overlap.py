"""Overlap with an earlier configuration."""

from .dataset import dataset, described
from .displacements import averaged, checked, symbols, within
from .statistics import positive

A = (
    0.5,
    1.0,
)  # Å: inside the cage, and about its edge for oxygen and silicon; sodium rattles further, its jumps lead beyond 2 Å


def overlap(trajectory_or_replicas, *, a=A, time=None, origins=1000, n_blocks=None, drift=None):
    """Overlap of each species, Q(t) = ⟨θ(a − r)⟩: the fraction of atoms that are within a of where they were a time t before.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
    a : float or sequence
        Lengths, Å.
    time, origins, n_blocks, drift
        As of mean_squared_displacement.

    Returns
    -------
    xarray.Dataset
        `Q` (species, a, time), no unit, and `Q_sem`.
    """
    replicas = checked(trajectory_or_replicas)
    a = positive("a", a)
    value, sem, lag = averaged(replicas, within, a, time, origins, n_blocks, drift)
    options = {"a": a, "time": time, "origins": origins, "n_blocks": n_blocks, "drift": drift}
    return dataset(
        {"Q": (("species", "a", "time"), value, sem, "1", "overlap")},
        {"species": symbols(replicas), "a": a, "time": lag},
        described("overlap", replicas, options),
    )
