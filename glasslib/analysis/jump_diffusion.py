"""Displacements of atoms that rattle in cages and jump between them."""

import numpy as np
from scipy.optimize import least_squares

Q = 0.06 * np.arange(1, 301)  # 1/Å: to where the rattle has damped everything, fine enough for displacements up to 50 Å
NAMES = ("length", "jumps", "spread", "narrow", "wide", "share")
LOWEST = (0.5, 0.0, 0.0, 0.05, 0.05, 0.0)  # Å, number, Å, Å, Å, fraction
HIGHEST = (6.0, 4.0, 1.5, 1.0, 2.0, 1.0)  # after more than four jumps no single one is seen
STARTS = ((2.0, 0.3, 0.5, 0.35, 0.6, 0.4), (3.0, 1.0, 0.5, 0.35, 0.6, 0.4))
FAR, FEW = 1.5, 0.01  # Å, and the share of atoms beyond it from which on there is anything to fit


def distribution(r, length, jumps, spread, narrow, wide, share):
    """P(r) = 4πr² G_s of atoms that rattle and have jumped a random number of times, in any direction.

    Parameters
    ----------
    r : array
        Å.
    length, spread : float
        Of a jump, Å: its mean length, and the standard deviation along each axis of what is added to it.
    jumps : float
        Mean number of jumps of an atom (Poisson).
    narrow, wide, share : float
        The rattle: standard deviations along each axis, Å, of two Gaussians, and the weight of the second.

    Returns
    -------
    array [r]
        1/Å.

    References
    ----------
    C. T. Chudley, R. J. Elliott, Proc. Phys. Soc. 77, 353 (1961): F_s(q) = exp(−n (1 − sin(qb)/(qb))), here with widths, for n jumps of length b.
    """
    return to_distances(r) @ scattering((length, jumps, spread, narrow, wide, share))


def scattering(parameters):
    """q F_s(q) at the wave numbers Q."""
    length, jumps, spread, narrow, wide, share = parameters
    rattle = (1 - share) * np.exp(-0.5 * (Q * narrow) ** 2) + share * np.exp(-0.5 * (Q * wide) ** 2)
    one = np.sinc(Q * length / np.pi) * np.exp(-0.5 * (Q * spread) ** 2)
    return Q * rattle * np.exp(-jumps * (1 - one))


def to_distances(r):
    """Matrix that takes q F_s(q) to P(r)."""
    return 2 * r[:, None] / np.pi * np.sin(np.outer(r, Q)) * Q[0]


def caged(r, narrow, wide, share):
    """P(r) of atoms that rattle only, in closed form."""
    parts = (
        weight * np.sqrt(2 / np.pi) * r**2 / width**3 * np.exp(-(r**2) / (2 * width**2))
        for weight, width in ((1 - share, narrow), (share, wide))
    )
    return sum(parts)


def fit(r, density, guess=None):
    """Fit of `distribution` to a measured P(r).

    Parameters
    ----------
    r, density : arrays [r]
        Evenly spaced, Å and 1/Å.
    guess : array of 6, optional
        Where to start, as returned.

    Returns
    -------
    (array of 6, float)
        Parameters in the order of NAMES, and by which factor the jumps lower the sum of squares that the rattle alone leaves; NaN where
        nothing moves far enough.
    """
    if not density[r > FAR].sum() * (r[1] - r[0]) > FEW:
        return np.full(len(NAMES), np.nan), np.nan
    matrix = to_distances(r)
    starts = STARTS if guess is None else [guess]
    best, least = closest(lambda x: matrix @ scattering(x) - density, starts, LOWEST, HIGHEST)
    if guess is not None:
        return best, np.nan
    alone = closest(lambda x: caged(r, *x) - density, [start[3:] for start in STARTS], LOWEST[3:], HIGHEST[3:])[1]
    return best, alone / least if least > 0 else np.nan


def closest(residuals, starts, lowest, highest):
    """Of several least-squares fits the best, and its sum of squares."""
    found = [
        least_squares(
            residuals, np.clip(start, lowest, highest), bounds=(lowest, highest), ftol=1e-6, xtol=1e-6, max_nfev=100
        )
        for start in starts
    ]
    best = min(found, key=lambda one: one.cost)
    return best.x, 2 * best.cost
