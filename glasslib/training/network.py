"""The network as training sees it: energies from undirected pairs, and what has no weights taken off the labels once."""

import math
from dataclasses import replace

import torch

from ..errors import GlasslibError, shown
from ..potential.model import Potential
from ..potential.painn import NEAR, PaiNN, PaiNNConfig
from .config import LANES, TrainConfig
from .messages import interleave, messages

SIZES = "species", "features", "interactions", "radial", "cutoff"


def as_started(config, started):
    """`config` with the species and sizes of the potential `started`, which it may leave at their defaults but must not contradict."""
    sizes = {key: getattr(started.network.config, key) for key in SIZES}
    if config.engine == "fast" and sizes["features"] % LANES:
        raise GlasslibError(
            f"the initial model has {sizes['features']} features, no multiple of {LANES}: train it with engine='reference'"
        )
    for key, value in sizes.items():
        if getattr(config, key) not in (value, getattr(TrainConfig, key)):
            raise GlasslibError(
                f"the initial model has {key} {shown(value)}, not {shown(getattr(config, key))}: leave {key} out, or train without an initial model"
            )
    return replace(config, **sizes)


def new_potential(config, started, energies, scale, least=math.inf):
    """A potential to train: a fresh one, or `started` with these species energies.

    `least` is the shortest distance in the frames, Å: a fresh network tells all that they hold.

    A fresh one has the sizes of `config` and the energy unit `scale` Å times the force rms; a refined one keeps its own. Both get the core repulsion of today,
    which is taken off the labels first.
    """
    if started is not None:
        return Potential(started.network, energies, started.scale)
    sizes = {key: getattr(config, key) for key in SIZES}
    shortest = min(PaiNNConfig.shortest, least / (1 + NEAR))
    return Potential(PaiNN(**sizes, shortest=shortest), energies, scale)


def directed(frame, vector):
    """Species, centre, neighbour and vector of both directions of each pair, as PaiNN takes them."""
    centre, neighbour = torch.cat([frame.left, frame.right]), torch.cat([frame.right, frame.left])
    return frame.species, centre, neighbour, torch.cat([vector, -vector])


def fixed_part(potential, frame):
    """`frame` with species energies and core repulsion taken off its labels: what is left for the network."""
    vector = frame.vector.detach().double().requires_grad_()
    energy = potential.repulsion(*directed(frame, vector)).sum()
    g = torch.autograd.grad(energy, vector)[0] if energy.requires_grad else torch.zeros_like(vector)
    forces = frame.forces.double().index_add(0, frame.left, -g).index_add(0, frame.right, g)
    virial = frame.virial.double() - (vector[:, :, None] * g[:, None]).sum(0)
    energy = frame.energy.double() - potential.species_energies[frame.species].sum() - energy
    kind = frame.vector.dtype
    return replace(
        frame, energy=energy.detach().to(kind), forces=forces.detach().to(kind), virial=virial.detach().to(kind)
    )


def pair_energies(potential, frame, vector, fast=True):
    """Energy of each atom [atoms] from the network alone, eV; unless `fast`, by plain PyTorch that can be differentiated twice.

    `vector` [pairs, 3] stands in for that of `frame`.
    """
    network = potential.network
    if not fast:
        return potential.scale * network(*directed(frame, vector))
    topology = [x.numpy() for x in (begins(frame.degree), frame.edge, frame.left, frame.right, begins(frame.n_atoms))]
    distance = vector.norm(dim=1)
    unit = vector / distance[:, None]
    basis, cut = network.basis(distance)
    basis = torch.cat([basis * cut[:, None], cut[:, None]], 1)
    s = network.embedding(frame.species)
    v = s.new_zeros(len(s), 3, s.shape[1])
    for message, update in zip(network.messages, network.updates, strict=True):
        weights = torch.cat([message.filter.weight, message.filter.bias[:, None]], 1)
        filters = basis @ interleave(weights.T.reshape(len(weights.T), 3, -1))
        ds, dv = messages(message.phi(s), v, filters, unit, topology)
        s, v = update(s + ds, v + dv)
    return potential.scale * network.readout(s)[:, 0]


def begins(counts):
    """Where each part begins, and the end: [0, c₀, c₀ + c₁, …]."""
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0))
