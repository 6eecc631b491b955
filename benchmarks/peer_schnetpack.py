"""SchNetPack's PaiNN in an environment of its own: prints the seconds of one evaluation for every line it is sent.

Started by `kernels.py` with `.venv-peers/bin/python`. Arguments: an .npz of positions, numbers and cell, features, cutoff (Å), threads.
"""

import json
import sys
import time
import typing

import torch.utils.data.dataloader as loader

loader.T_co = typing.TypeVar("T_co", covariant=True)  # imported by SchNetPack 2.0, gone from newer PyTorch

import numpy as np  # noqa: E402
import schnetpack as spk  # noqa: E402
import schnetpack.transform as trn  # noqa: E402
import torch  # noqa: E402
from ase import Atoms  # noqa: E402
from schnetpack.interfaces import AtomsConverter  # noqa: E402

path, features, cutoff, threads = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(threads)
torch.manual_seed(0)
network = spk.representation.PaiNN(
    n_atom_basis=features,
    n_interactions=3,
    radial_basis=spk.nn.BesselRBF(n_rbf=20, cutoff=cutoff),
    cutoff_fn=spk.nn.CosineCutoff(cutoff),
)
model = spk.model.NeuralNetworkPotential(
    representation=network,
    input_modules=[spk.atomistic.Strain(), spk.atomistic.PairwiseDistances()],
    output_modules=[
        spk.atomistic.Atomwise(n_in=features, output_key="energy"),
        spk.atomistic.Forces(calc_stress=True),
    ],
)
convert = AtomsConverter(neighbor_list=trn.MatScipyNeighborList(cutoff=cutoff), dtype=torch.float32)
data = np.load(path)
atoms = Atoms(data["numbers"], data["positions"], cell=data["cell"], pbc=True)
batch = convert(atoms)  # the neighbour list is not timed
model(dict(batch))
print(json.dumps({"version": "2.0.4", "torch": torch.__version__, "edges": len(batch["_idx_i"])}), flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    model(dict(batch))
    print(time.perf_counter() - start, flush=True)
