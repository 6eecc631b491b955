"""Self part of the intermediate scattering function."""

from .dataset import dataset, described
from .displacements import averaged, checked, isotropic_waves, symbols
from .statistics import positive

Q = (0.95, 1.7, 2.05)  # 1/Å: sodium channels, first sharp peak of the network, sodium; our choice of standard values


def self_intermediate_scattering(trajectory_or_replicas, *, q=Q, time=None, origins=1000, n_blocks=None, drift=None):
    """Self-intermediate scattering function of each species, F_s(q, t) = ⟨sin(q r) / (q r)⟩ with r the distance moved in t.

    The average over all directions of q, exact for an isotropic melt; q need not fit the box.

    Parameters
    ----------
    trajectory_or_replicas : Trajectory or list of Trajectory
    q : float or sequence
        Wave numbers, 1/Å. Default: 0.95 (the distance of sodium channels), 1.7 (the network's first sharp peak) and 2.05.
    time, origins, n_blocks, drift
        As of mean_squared_displacement.

    Returns
    -------
    xarray.Dataset
        `F_s` (species, q, time), no unit, and `F_s_sem`. F_s(q, 0) = 1.
    """
    replicas = checked(trajectory_or_replicas)
    q = positive("q", q)
    value, sem, lag = averaged(replicas, isotropic_waves, q, time, origins, n_blocks, drift)
    options = {"q": q, "time": time, "origins": origins, "n_blocks": n_blocks, "drift": drift}
    return dataset(
        {"F_s": (("species", "q", "time"), value, sem, "1", "self-intermediate scattering function")},
        {"species": symbols(replicas), "q": q, "time": lag},
        described("self_intermediate_scattering", replicas, options),
    )
