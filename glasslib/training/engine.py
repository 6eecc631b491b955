"""Gradients of the loss with respect to the weights, in two ways.

"reference" differentiates the forces a second time, as autograd offers it. "fast" never does. With forces F, virials W = dE/dε, the
displacement u = −∂L/∂F and the strain S = ∂L/∂W, the part of dL/dθ that comes from forces and virials is the derivative of dE/dθ along
(u, S), here a difference of two first-order passes:

    dL/dθ = Σ_f ∂L/∂E_f · dE_f/dθ + [dE/dθ(r + h (u, S)) − dE/dθ(r)] / h

The pass at r gives F and W as well; the displaced one carries the energies' seed, too. So a step costs two evaluations of energy and
gradient, each through compiled kernels.
"""

from functools import partial

import torch

from .distributed import largest
from .loss import loss_terms
from .network import pair_energies

# Largest change of an edge vector in the difference, Å. Measured on melts in float32: gradients 0.2 % off; below, rounding takes over.
STEP = 0.003


def response(energies, frame, create_graph=False, keep_weights=False):
    """Energies [frames], forces [atoms, 3] and virials [frames, 3, 3] of a network.

    `energies(frame, vector, fast)` are those of the atoms [atoms] for vectors [pairs, 3]. All follow from g = dE/dvector: F_left = Σ g, F_right = −Σ g, W = Σ vector ⊗ g. `keep_weights` also leaves dE/dθ in `.grad`.
    """
    vector = frame.vector.detach().requires_grad_()
    energy = frame_sums(energies(frame, vector, not create_graph), frame.n_atoms)
    if keep_weights:
        energy.sum().backward()
        g = vector.grad
    else:
        (g,) = torch.autograd.grad(energy.sum(), vector, create_graph=create_graph)
    forces = torch.zeros_like(frame.forces).index_add(0, frame.left, g).index_add(0, frame.right, -g)
    virial = frame_sums(vector[:, :, None] * g[:, None], frame.n_pairs)
    return energy, forces, (virial + virial.transpose(1, 2)) / 2


def frame_sums(values, counts):
    """Sum `values` [items, …] over each frame's items; `counts` [frames] says how many are whose."""
    return values.new_zeros(len(counts), *values.shape[1:]).index_add(0, torch.repeat_interleave(counts), values)


def gradients(potential, frame, config, norm):
    """Set the weights' `.grad` to dL/dθ; returns the terms of the loss as numbers.

    `frame` may be None for a process without a share of the batch.
    """
    potential.zero_grad(set_to_none=True)
    energies, weights = partial(pair_energies, potential), list(potential.network.parameters())
    if config.engine == "reference":
        terms = loss_terms(*response(energies, frame, create_graph=True), frame, config, norm) if frame else {}
        if frame:
            sum(terms.values()).backward()
    else:
        terms = difference(energies, weights, frame, config, norm)
    return {name: float(term.detach()) for name, term in terms.items()}


def difference(energies, weights, frame, config, norm, step=STEP):
    """Terms of the loss, whose gradients the weights get from two first-order passes; `step` in Å."""
    if frame is None:
        largest(torch.zeros(()))
        return {}
    outputs = [x.detach().requires_grad_() for x in response(energies, frame, keep_weights=True)]
    terms = loss_terms(*outputs, frame, config, norm)
    by_energy, by_forces, by_virial = torch.autograd.grad(sum(terms.values()), outputs)
    change = by_forces[frame.left] - by_forces[frame.right]
    change += torch.einsum("pi,pij->pj", frame.vector, by_virial.repeat_interleave(frame.n_pairs, 0))
    most = change.norm(dim=1).max() if len(change) else torch.zeros(())  # atoms alone have no pairs
    h = step / largest(most).clamp_min(1e-20)
    for w in weights:
        w.grad /= -h
    atoms = energies(frame, frame.vector + h * change, True)
    atoms.backward((by_energy + 1 / h).repeat_interleave(frame.n_atoms))
    return terms


def assess(potential, frame, config, norm):
    """Terms of the loss, then sums of squares of ΔE/N, of ΔF and of ΔW/N: a tensor [6]."""
    outputs = [x.detach() for x in response(partial(pair_energies, potential), frame)]
    terms = loss_terms(*outputs, frame, config, norm)
    energy, forces, virial = (x - y for x, y in zip(outputs, (frame.energy, frame.forces, frame.virial), strict=True))
    virial = virial / frame.n_atoms[:, None, None] * frame.has_virial[:, None, None]
    squares = [(energy / frame.n_atoms).square().sum(), forces.square().sum(), virial.square().sum()]
    return torch.stack([*terms.values(), *squares]).double()
