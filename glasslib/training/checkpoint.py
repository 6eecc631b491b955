"""Checkpoints that survive a kill at any moment: numbered pairs of tensors (safetensors) and state (JSON with checksums)."""

import hashlib
import json
import re
import shutil
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..errors import GlasslibError
from ..files import atomic, read_json, sha256, write_json

KEPT = 2


def _digest(state):
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _numbers(folder):
    """Numbers of the checkpoints in `folder`, newest first."""
    names = (re.fullmatch(r"checkpoint-(\d+)\.json", path.name) for path in Path(folder).glob("checkpoint-*.json"))
    return sorted((int(name[1]) for name in names if name), reverse=True)


def _pair(folder, number):
    return [Path(folder) / f"checkpoint-{number:06d}.{ending}" for ending in ("safetensors", "json")]


def save_checkpoint(folder, number, tensors, state):
    """Write checkpoint `number` and remove all but the previous one.

    Parameters
    ----------
    folder : path
    number : int
        Grows from checkpoint to checkpoint.
    tensors : dict of str to torch.Tensor
    state : dict
        Anything JSON can hold.
    """
    weights, text = _pair(folder, number)
    # Only the JSON file makes the pair count, so it is written last.
    with atomic(weights) as temporary:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, temporary)
    write_json(text, {"state": state, "state_sha256": _digest(state), "tensors_sha256": sha256(weights)})
    for old in _numbers(folder):
        if old < number and old not in _numbers(folder)[:KEPT]:
            for path in reversed(_pair(folder, old)):
                path.unlink(missing_ok=True)


def remove_checkpoints(folder):
    """Remove `folder`; killed at any moment, what is left of it is no checkpoint or a whole one."""
    for number in _numbers(folder):
        _pair(folder, number)[1].unlink()
    shutil.rmtree(folder, ignore_errors=True)


def load_checkpoint(folder, warn=None):
    """The newest whole checkpoint of `folder`.

    Parameters
    ----------
    folder : path
    warn : callable, optional
        Told of every damaged checkpoint that is passed over.

    Returns
    -------
    (int, dict, dict) or None
        Number, tensors and state; None where there is no checkpoint at all.

    Raises
    ------
    GlasslibError
        If there are checkpoints and all of them are damaged.
    """
    numbers = _numbers(folder)
    for number in numbers:
        weights, text = _pair(folder, number)
        try:
            content = read_json(text)
            whole = content["state_sha256"] == _digest(content["state"]) and content["tensors_sha256"] == sha256(
                weights
            )
            if not whole:
                raise GlasslibError(f"checkpoint {weights} does not match its checksum")
            return number, load_file(weights), content["state"]
        except (GlasslibError, SafetensorError, OSError, KeyError, TypeError) as error:
            if warn:
                warn(f"checkpoint {number} of {folder} is damaged and passed over ({error})")
    if numbers:
        raise GlasslibError(f"every checkpoint in {folder} is damaged: remove that folder to begin anew")
    return None
