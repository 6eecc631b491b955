"""Models: weights as safetensors, their description as JSON."""

import json
import pickle
import struct

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from glasslib.potential.model import Potential
from glasslib.potential.painn import PaiNN
from glasslib.potential.storage import save_model

from .common import JUNK, Case, pipe

SIZES = {"species": ["O", "Na", "Si"], "features": 8, "interactions": 1, "radial": 4, "cutoff": 4.0}


def valid(path):
    """A small model at `path` (of the weights; the description lies beside it)."""
    torch.manual_seed(0)
    save_model(path, Potential(PaiNN(**SIZES), np.zeros(3), 1.0))


def beside(content):
    """A valid model whose description has another content: bytes, or a function of what it was."""

    def make(path):
        valid(path)
        description = path.with_suffix(".json")
        made = (
            content if isinstance(content, bytes) else json.dumps(content(json.loads(description.read_text()))).encode()
        )
        description.write_bytes(made)

    return make


def size(key, value):
    """A valid model that describes another network."""
    return beside(lambda known: known | {"network": known["network"] | {key: value}})


def key(name, value):
    """A valid model with another value in its description."""
    return beside(lambda known: known | {name: value})


def weights(content):
    """A valid model with other weights: bytes, or a function of the tensors."""

    def make(path):
        valid(path)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            save_file(content(load_file(path)), path)

    return make


def header(content, declared=None):
    """Bytes of a safetensors file: a header and the length that it declares."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(text) if declared is None else declared) + text + b"\0" * 16


def tensor(shape, end):
    """Header of one tensor."""
    return {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}


def one(change):
    """Tensors of which the first is changed."""
    return lambda state: {name: change(w) if n == 0 else w for n, (name, w) in enumerate(state.items())}


def named_pipe(path):
    valid(path)
    path.unlink()
    pipe(path)


BAD = {
    "not there": ("no potential", None),
    "weights without a description": ("no such file", lambda path: save_file({"a": torch.zeros(2)}, path)),
    "empty weights": ("damaged", weights(b"")),
    "binary junk for weights": ("damaged", weights(JUNK)),
    "a pickle for weights": ("damaged", weights(pickle.dumps({"a": [1.0]}))),
    "a pipe for weights": ("device", named_pipe),
    "terabytes of header": ("damaged", weights(header(b"{}", declared=2**42))),
    "a header beyond 64 bits": ("damaged", weights(header(b"{}", declared=2**64 - 1))),
    "terabytes of tensor": ("damaged", weights(header(tensor([10**12], 4 * 10**12)))),
    "a shape that overflows": ("damaged", weights(header(tensor([2**63, 2**63], 16)))),
    "a tensor that ends before it begins": ("damaged", weights(header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]}}))),
    "a header nested without end": ("damaged", weights(header(b"[" * 100_000))),
    "a header that is not UTF-8": ("damaged", weights(header(b'{"\xff\xfe": 1}'))),
    "weights not a number": ("not finite", weights(one(lambda w: w * float("nan")))),
    "weights infinite": ("not finite", weights(one(lambda w: w + float("inf")))),
    "weights that are whole": ("real numbers", weights(one(lambda w: w.to(torch.int32)))),
    "weights that are complex": ("real numbers", weights(one(lambda w: w.to(torch.complex64)))),
    "one tensor missing": ("does not fit", weights(lambda state: dict(list(state.items())[1:]))),
    "one tensor too many": ("does not fit", weights(lambda state: state | {"extra": torch.zeros(2)})),
    "a tensor of another shape": ("does not fit", weights(one(lambda w: w[:1].clone()))),
    "empty description": ("JSON", beside(b"")),
    "description not UTF-8": ("JSON", beside(b'{"format": "\xff"}')),
    "description a list": ("no model", beside(lambda known: [known])),
    "description nested without end": ("JSON", beside(b"[" * 200_000)),
    "description of megabytes": ("bytes", beside(b" " * 1_100_000)),
    "another format": ("format", key("format", "glasslib potential 99")),
    "no network": ("network", beside(lambda known: {k: v for k, v in known.items() if k != "network"})),
    "unknown size of the network": ("depth", size("depth", 3)),
    "network of billions of features": ("weights", size("features", 10**9)),
    "network of a million layers": ("weights", size("interactions", 10**6)),
    "features below zero": ("features", size("features", -8)),
    "features a word": ("features", size("features", "many")),
    "cutoff in metres": ("cutoff", size("cutoff", 5e-10 - 1)),
    "cutoff infinite": ("cutoff", size("cutoff", float("inf"))),
    "one species twice": ("species", size("species", ["O", "O", "Si"])),
    "unknown species": ("species", size("species", ["O", "Na", "Xx"])),
    "species in one word": ("species", size("species", "ONa")),
    "no species": ("species", size("species", [])),
    "energy of a species missing": ("energies", key("species_energies", [0.0, 0.0])),
    "energy of a species not a number": ("finite", key("species_energies", [0.0, float("nan"), 0.0])),
    "scale infinite": ("finite", key("scale", float("inf"))),
    "scale beyond all numbers": ("does not describe", key("scale", 10**400)),
    "scale a word": ("does not describe", key("scale", "large")),
    "bounds the wrong way round": ("bounds", key("bounds", [3.0, -3.0])),
    "bounds infinite": ("bounds", key("bounds", [-3.0, float("inf")])),
    "bounds one number": ("does not describe", key("bounds", 3.0)),
    "core of a stranger": ("core", key("core", {"LiO": 1.5})),
    "core wider than the cutoff": ("core", key("core", {"OO": 1e3})),
    "core a number": ("does not describe", key("core", 1.5)),
    "bounds three numbers": ("does not describe", key("bounds", [-3.0, 0.0, 3.0])),
}  # fmt: skip
CASES = {f"model, {key}": Case("model", text, "bad.safetensors", made) for key, (text, made) in BAD.items()}
