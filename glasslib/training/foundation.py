"""A teacher that knows chemistry beforehand: SevenNet-0, trained on 1.6 million crystal configurations of all elements, refined on ab initio frames.

SevenNet-0 (Park et al., J. Chem. Theory Comput. 20, 4857, 2024; weights of 11 July 2024, in the package `sevenn`, MIT licence) is an equivariant graph network
that has learned PBE labels of the Materials Project (MPtrj, Deng et al., Nat. Mach. Intell. 5, 1031, 2023). It is some thirty times slower than PaiNN here, so it
teaches and does not simulate. A pair potential takes away what differs between its labels and ours by pairs of atoms (PAW data sets, pressure of the finite
basis); refinement is left with the rest.
"""

import importlib.util
import logging
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..errors import GlasslibError
from ..files import atomic, folder, write_json
from .config import TrainConfig
from .convolution import fuse, paired
from .engine import difference, response
from .frames import Frame, labels
from .loop import TERMS, Training, one_thread, session
from .xtb import labelled

NAME = "7net-0"
REFINE = TrainConfig(epochs=60, batch=2, rate=1e-3, warmup=30, huber=1.0, average=0.98, clip=10.0)


def installed():
    """Whether SevenNet is there."""
    return importlib.util.find_spec("sevenn") is not None


def need_installed():
    """GlasslibError where SevenNet is missing."""
    if not installed():
        raise GlasslibError("SevenNet is not installed: pip install 'glasslib[foundation]'")


class Foundation:
    """SevenNet-0 for labelling and for training.

    Parameters
    ----------
    weights : path, optional
        Refined ones, as `refine` writes them; without, those that it was published with.
    """

    def __init__(self, weights=None):
        need_installed()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from sevenn.util import load_checkpoint, pretrained_name_to_path

            checkpoint = load_checkpoint(pretrained_name_to_path(NAME))
            self.network = checkpoint.build_model()
        logging.getLogger("sevenn").setLevel(logging.ERROR)
        self.network.set_is_batch_data(False)
        fuse(self.network)
        self.cutoff = checkpoint.config["cutoff"]
        if weights is not None:
            try:
                self.network.load_state_dict(load_file(weights))
            except (OSError, SafetensorError, RuntimeError) as error:
                raise GlasslibError(f"{weights} holds no weights of SevenNet-0: {str(error).splitlines()[0]}") from None

    def graph(self, atoms):
        """Neighbours and species as SevenNet takes them."""
        from sevenn.atom_graph_data import AtomGraphData
        from sevenn.train.dataload import unlabeled_atoms_to_graph

        graph = AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(atoms, self.cutoff))
        graph["pair"], graph["first"] = paired(graph["edge_index"], graph["edge_vec"])
        return graph

    def energies(self, frame, vector, fast=True):
        """Energy of each atom [atoms], eV, for edges [edges, 3] in place of the frame's; `fast` is there for the engine."""
        graph = frame.graph.clone()
        graph["edge_vec"] = vector
        graph = self.network._preprocess(graph)
        for name, module in self.network._modules.items():
            if name != "force_output":  # it would differentiate
                graph = module(graph)
        return graph["atomic_energy"].reshape(-1)

    def label(self, atoms):
        """A copy of `atoms` labelled with energy (eV), forces (eV/Å) and stress (eV/Å³)."""
        with one_thread():
            made = response(self.energies, self.frame(atoms))
        energy, forces, virial = (x.detach().double().numpy() for x in made)
        return labelled(atoms, energy[0], forces, virial.reshape(9)[[0, 4, 8, 5, 2, 1]] / atoms.get_volume())

    def frame(self, atoms, target=None):
        """The atoms as network and loss take them; `target`: energy, forces and virial."""
        graph = self.graph(atoms)
        energy, forces, virial = target or (0.0, np.zeros((len(atoms), 3)), None)
        known = virial is not None
        left, right = graph["edge_index"]
        return Edges(
            species=graph["atomic_numbers"],
            left=left,
            right=right,
            vector=graph["edge_vec"],
            edge=None,
            degree=None,
            n_atoms=torch.tensor([len(atoms)]),
            n_pairs=torch.tensor([len(left)]),
            energy=torch.tensor([energy]),
            forces=torch.tensor(forces, dtype=torch.float32),
            virial=torch.tensor(virial if known else np.zeros((3, 3)), dtype=torch.float32)[None],
            has_virial=torch.tensor([float(known)]),
            graph=graph,
        )


@dataclass(frozen=True)
class Edges(Frame):
    """A frame whose pairs are the edges of SevenNet, both directions of each; it needs neither `edge` nor `degree`."""

    graph: object = None


class Refinement(Training):
    """Training that begins from SevenNet-0, with the same loss, first-order passes, loop and checkpoints."""

    def _prepared(self, frames_train, frames_validation, initial):
        self.teacher = Foundation()
        parts = (
            [self.teacher.frame(atoms, labels(atoms)) for atoms in part] for part in (frames_train, frames_validation)
        )
        return self.teacher.network, *parts

    def _identity(self, start):
        return super()._identity([]) | {"initial": [NAME]}

    def _gradients(self, frames, norm):
        kept, sums = [torch.zeros_like(w) for w in self.weights], dict.fromkeys(TERMS, 0.0)
        for one in frames + [None] * (-(-norm["frames"] // self.size) - len(frames)):  # as often as every other process
            if one is None:
                difference(self.teacher.energies, self.weights, None, self.config, norm)
                continue
            self.network.zero_grad(set_to_none=False)
            terms = difference(self.teacher.energies, self.weights, one, self.config, norm)
            for total, w in zip(kept, self.weights, strict=True):
                total += w.grad
            sums = {name: sums[name] + float(terms[name].detach()) for name in TERMS}
        for total, w in zip(kept, self.weights, strict=True):
            w.grad = total
        return sums

    def _save(self, path, metadata):
        """Weights as safetensors, how they were made as JSON."""
        weights = {name: w.detach().contiguous().clone() for name, w in self.network.state_dict().items()}
        with atomic(path.with_suffix(".safetensors")) as temporary:
            save_file(weights, temporary)
        write_json(path.with_suffix(".json"), {"network": NAME, "metadata": metadata})


def refine(frames, out, config=REFINE, resume="same", inputs=()):
    """Refine SevenNet-0 on labelled frames; a run that was killed goes on when called again. In a group (`distributed.together`) every process takes its share of each batch.

    Parameters
    ----------
    frames : list of ase.Atoms
        Labelled.
    out : path
        Gets `model.safetensors`, `model.json` and what `train` writes besides.
    config : TrainConfig
        Its sizes, species and cutoff do not matter.
    resume : bool or "same"
        As `train` takes it, but that a run of other frames or parameters in `out` is always replaced.
    inputs : list of paths
        Files the frames came from, for the record.

    Returns
    -------
    pathlib.Path
        `out/model.safetensors`, for `Foundation`.
    """
    out = folder(out)
    with session(out, resume) as (rank, size):
        return (
            Refinement(frames, [], out, config, None, rank, size, inputs, anew=True).run().with_suffix(".safetensors")
        )
