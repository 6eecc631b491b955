"""Trained potentials on disk: weights as safetensors, everything else as JSON. Nothing is unpickled."""

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..errors import GlasslibError
from ..files import atomic, listed, read_json, regular, sha256, write_json
from .model import Potential
from .painn import PaiNN
from .repulsion import Repulsion

FORMAT = "glasslib potential 1"


def stem(path):
    """`path` without the suffix of either of a model's two files."""
    path = Path(path)
    return path.with_suffix("") if path.suffix in (".safetensors", ".json") else path


def save_model(path, potential, metadata=None):
    """Write `<path>.safetensors` (float32 weights) and `<path>.json` (sizes, species energies, scale, bounds, core, metadata)."""
    path = stem(path)
    weights = {name: w.detach().to(torch.float32).contiguous() for name, w in potential.network.state_dict().items()}
    with atomic(path.with_name(path.name + ".safetensors")) as temporary:
        save_file(weights, temporary, metadata={"format": FORMAT})
    content = {
        "format": FORMAT,
        "weights": sha256(path.with_name(path.name + ".safetensors")),
        "network": potential.network.describe(),
        "species_energies": potential.species_energies.tolist(),
        "scale": potential.scale,
        "bounds": potential.bounds and list(potential.bounds),
        "core": potential.repulsion.radii,
        "metadata": metadata or {},
    }
    write_json(path.with_name(path.name + ".json"), content)
    return path


def model_files(path):
    """Description (.json) and weights (.safetensors) of a model, given its path with or without suffix, or a folder that holds one."""
    path = stem(path)
    if path.is_dir():
        found = listed(path, "*.safetensors")
        if len(found) != 1:
            raise GlasslibError(f"{path} holds {len(found)} models: give the path of one")
        path = stem(found[0])
    return path.with_name(path.name + ".json"), path.with_name(path.name + ".safetensors")


def load_model(path):
    """Read a model that `save_model` wrote; `path` with or without suffix, or a folder that holds one model.

    Raises
    ------
    GlasslibError
        If a file is missing, truncated, or does not fit its description.
    """
    description, weights = model_files(path)
    content = read_json(description, limit=1_000_000)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise GlasslibError(f"{description} is no model of this library (its format is not {FORMAT!r})")
    try:
        network = PaiNN(**content["network"])
        energies, scale = np.array(content["species_energies"], float), float(content["scale"])
        if energies.shape != (len(network.config.species),) or not np.isfinite([*energies, scale]).all():
            raise GlasslibError(
                f"{description}: species energies and scale must be finite numbers, one energy a species"
            )
        bounds = content.get("bounds")
        if bounds is not None:
            bounds = low, high = tuple(float(bound) for bound in bounds)
            if not -np.inf < low < high < np.inf:
                raise GlasslibError(f"{description}: bounds must be two finite numbers, the lower one first")
        core = {pair: float(radius) for pair, radius in content.get("core", {}).items()}
        unknown = set(core) - set(Repulsion(network.config.species).radii)
        if unknown or not all(0 < radius < network.config.cutoff for radius in core.values()):
            raise GlasslibError(
                f"{description}: core must give radii between zero and the cutoff, for pairs of its species"
            )
        regular(weights)
        state = load_file(weights)
        if any(not w.is_floating_point() for w in state.values()):
            raise ValueError("its weights are not real numbers")
        network.load_state_dict(state)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise GlasslibError(f"{description} does not describe a model ({str(error)[:200]})") from None
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise GlasslibError(
            f"{weights} is damaged or does not fit its description ({reason}): restore it or train again"
        ) from None
    if not all(torch.isfinite(w).all() for w in state.values()):
        raise GlasslibError(f"{weights} holds weights that are not finite: restore it or train again")
    if content.get("weights", known := sha256(weights)) != known:
        raise GlasslibError(f"{weights} and {description} are of two models: restore or copy both together")
    return Potential(network, energies, scale, bounds, core)
