"""Profiles: what a run computes, as YAML files in `profiles/`. The sweep (compositions, temperatures, replicas) and, under the name of each notebook, values for
its parameters."""

from pathlib import Path

from . import notebook
from .errors import GlasslibError, shown
from .files import read_yaml
from .systems import composition

ROOT = Path(__file__).parent.parent
SWEEP = {"compositions": list, "temperatures": list, "replicas": int, "threads": int, "results": list}
SIMULATION = "04_simulation"
MOST = {"replicas": 10_000, "threads": 4096, "atoms": 10_000_000}


def load_profile(name_or_path):
    """Read and check a profile.

    Parameters
    ----------
    name_or_path : str
        "quick", "standard", "paper", or the path of a YAML file.

    Returns
    -------
    dict
        name, compositions, temperatures (K), replicas, threads (of one simulation), notebooks (name → parameters).

    Raises
    ------
    GlasslibError
        Naming the key that is unknown, missing or of a wrong type.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yml", ".yaml"):
        path = ROOT / "profiles" / f"{name_or_path}.yml"
    try:
        there = path.exists()
    except OSError:  # a name too long
        there = False
    if not there:
        known = ", ".join(sorted(p.stem for p in (ROOT / "profiles").glob("*.yml")))
        raise GlasslibError(f"no profile {shown(name_or_path)}: there are {known}, or give the path of a .yml file")
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise GlasslibError(f"profile {path} must be a mapping of keys to values")
    names = sorted(p.stem for p in notebook.NOTEBOOKS.glob("*.ipynb"))
    for key in content:
        if key not in SWEEP and key not in names:
            raise GlasslibError(
                f"profile {path.name}: unknown key {shown(key)}{notebook.suggestion(key, [*SWEEP, *names])}"
            )
    for key, kind in SWEEP.items():
        if key not in content:
            if key in ("compositions", "temperatures"):
                raise GlasslibError(f"profile {path.name}: key {key!r} is missing")
            continue
        if not isinstance(content[key], kind) or isinstance(content[key], bool):
            raise GlasslibError(
                f"profile {path.name}: {key!r} must be of type {kind.__name__}, not {shown(content[key])}"
            )
    for key in ("compositions", "temperatures"):
        if not content[key]:
            raise GlasslibError(f"profile {path.name}: {key!r} is empty: give at least one")
    for name in content["compositions"]:
        if not isinstance(name, str):
            raise GlasslibError(f"profile {path.name}: composition {shown(name)} must be a name such as NS2")
        mixture, atoms = sized(name)
        composition(mixture).counts(atoms or 1)
    for value in content["temperatures"]:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 20000 or value % 1:
            raise GlasslibError(
                f"profile {path.name}: temperature {shown(value)} must be a whole number of kelvin above zero and below 20000"
            )
    for key in ("compositions", "temperatures"):
        if len(set(content[key])) < len(content[key]):
            raise GlasslibError(f"profile {path.name}: {key!r} names one value twice: {shown(content[key])}")
    profile = {"name": path.stem, "replicas": 1, "threads": 1, "results": []} | {
        k: v for k, v in content.items() if k in SWEEP
    }
    for name in names:
        if not isinstance(content.get(name) or {}, dict):
            raise GlasslibError(f"profile {path.name}: {name!r} must be a mapping of parameters to values")
    profile["notebooks"] = {name: notebook.checked(name, content.get(name) or {}) for name in names}
    for key in ("replicas", "threads"):
        most = MOST[key]
        if not 1 <= profile[key] <= most:
            raise GlasslibError(f"profile {path.name}: {key!r} must be from 1 to {most}, not {shown(profile[key])}")
    return profile


def sized(name):
    """Mixture and number of atoms of "NS2@300", a composition in a box of its own size; None for the number of "NS2"."""
    mixture, sign, atoms = name.partition("@")
    if sign and not (atoms.isdecimal() and atoms.isascii() and 0 < int(atoms) <= MOST["atoms"]):
        raise GlasslibError(f"composition {shown(name)}: after @ comes the number of atoms, from 1 to {MOST['atoms']}")
    return mixture, int(atoms) if sign else None


def states(profile):
    """All (composition, temperature, replica) of a profile, in the order in which they are worth running."""
    return [
        (c, t, r)
        for r in range(profile["replicas"])
        for t in sorted(profile["temperatures"], reverse=True)
        for c in profile["compositions"]
    ]


def parameters(profile, name, run, **extra):
    """Parameters that the workflow gives to notebook `name`: those of the profile, where the run lies, and `extra`."""
    known = notebook.declared(name)
    values = dict(profile["notebooks"][name])
    places = {"run_dir": str(run), "results": f"{run}/results", **extra}
    if "composition" in extra:
        places["composition"], atoms = sized(extra["composition"])
        places |= {"atoms": atoms} if atoms else {}
    return values | {key: value for key, value in places.items() if key in known}


def plan(profile):
    """What a profile will compute and what that costs, as text; the potential is timed here and now for the estimate."""
    from .dynamics import core_seconds_per_atom_step

    settings = profile["notebooks"][SIMULATION]
    values = {k: v for k, (v, _) in notebook.declared(SIMULATION).items()} | settings
    length = sum(values[k] for k in ("melt", "equilibrate", "produce"))
    steps = length * 1000 / values["timestep"]
    price = core_seconds_per_atom_step(values["potential"])
    total = 0.0
    lines = [
        f"profile {profile['name']}: {len(states(profile))} simulations of {length:g} ps, {steps:.0f} steps of {values['timestep']:g} fs"
    ]
    for name in profile["compositions"]:
        mixture, atoms = sized(name)
        counts = composition(mixture).counts(atoms or values["atoms"])
        hours = sum(counts.values()) * steps * price / 3600
        number = len(profile["temperatures"]) * profile["replicas"]
        total += hours * number
        lines.append(f"  {name}: {sum(counts.values())} atoms, {number} runs of {hours:.2g} core hours")
    lines.append(
        f"  together about {total:.2g} core hours at {price * 1e6:.0f} µs per atom and step on one core (timed now)"
    )
    return "\n".join(lines)
