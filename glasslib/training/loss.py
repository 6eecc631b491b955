"""What training minimises."""

import torch


def loss_terms(energy, forces, virial, target, config, norm):
    """Weighted terms of the loss of some frames of a batch; their sum over all frames of the batch is its loss.

    L = w_E ⟨(ΔE/N)²⟩ + w_F ⟨h(ΔF)⟩ + w_W ⟨(ΔW/N)²⟩, means over the batch's frames, force components and virial components;
    h(x) = x², or 2δ|x| − δ² beyond δ = `config.huber` (Huber, Ann. Math. Stat., 1964).

    Parameters
    ----------
    energy : torch.Tensor [frames]
        eV.
    forces : torch.Tensor [atoms, 3]
        eV/Å.
    virial : torch.Tensor [frames, 3, 3]
        dE/dε = volume × stress, eV.
    target : object
        With `energy`, `forces`, `virial` of the same shapes, `n_atoms` [frames] and `has_virial` [frames] (1 or 0).
    config : TrainConfig
    norm : dict
        `frames`, `atoms` and `virials`: numbers in the whole batch, of which these frames may be a part.

    Returns
    -------
    dict of torch.Tensor
        "energy", "forces", "virial".
    """
    of_energy = ((energy - target.energy) / target.n_atoms).square().sum()
    error = forces - target.forces
    if config.huber:
        size = error.abs()
        of_forces = torch.where(size < config.huber, error.square(), 2 * config.huber * size - config.huber**2).sum()
    else:
        of_forces = error.square().sum()
    of_virial = (
        ((virial - target.virial) / target.n_atoms[:, None, None]).square().sum((1, 2)) * target.has_virial
    ).sum()
    return {
        "energy": config.energy_weight * of_energy / norm["frames"],
        "forces": config.force_weight * of_forces / (3 * norm["atoms"]),
        "virial": config.virial_weight * of_virial / (9 * max(norm["virials"], 1)),
    }
