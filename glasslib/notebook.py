"""What every notebook does first and last: check its parameters, and sign its figures.

`begin` is the first line after the parameters cell. It reads the notebook's own parameters cell for names, defaults and units, so
that a misspelt name or a wrong type stops the run at once. `run.sign` prints the line under a figure that says what made it.
"""

import difflib
import hashlib
import json
import math
import os
import re
from pathlib import Path

from .errors import GlasslibError, shown
from .files import read_json, sha256
from .provenance import content_hash, hashes, library_hash

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"

# The parts of the library on which each notebook's output depends; the workflow re-runs it when one of them changes.
PARTS = {
    "01": ("reference", "figures"),
    "02": ("training", "potential", "reference", "figures"),
    "03": ("dynamics", "potential", "training", "reference", "systems", "trajectory", "figures"),
    "04": ("dynamics", "potential", "systems", "trajectory", "figures"),
    "05": ("analysis", "figures", "published", "sweep", "trajectory", "verdicts"),
    "08": ("analysis", "claims", "figures", "sweep", "trajectory", "verdicts"),
    "10": ("analysis", "dynamics", "figures", "potential", "sweep", "trajectory", "viewer"),
    "11": ("analysis", "claims", "figures", "published", "sweep", "trajectory", "verdicts", "viewer"),
    "12": ("figures",),
}
FIGURE_PARTS = ("analysis", "figures", "sweep", "trajectory")

PROFILE = "GLASSLIB_PROFILE"  # environment variable in which the workflow names its profile

# Names that IPython and papermill put into a fresh notebook's namespace.
_KERNEL_NAMES = {"In", "Out", "get_ipython", "exit", "quit", "open", "glasslib", "begin", "papermill"}


def parts(name):
    """Parts of the library on which the notebook `name` depends."""
    return PARTS.get(Path(name).stem[:2], FIGURE_PARTS)


def declared(name):
    """The parameters of a notebook.

    Returns
    -------
    dict
        Name → (default value, comment).
    """
    path = NOTEBOOKS / f"{Path(name).stem}.ipynb"
    known = sorted(p.stem for p in NOTEBOOKS.glob("*.ipynb"))
    if path.stem not in known:
        raise GlasslibError(f"no notebook {shown(name)}: there are {', '.join(known)}")
    cells = json.loads(path.read_text())["cells"]
    source = "".join(next(c["source"] for c in cells if "parameters" in c["metadata"].get("tags", [])))
    values = {}
    exec(compile(source, str(path), "exec"), {}, values)  # the project's own file: a list of assignments
    comments = dict(re.findall(r"^(\w+) *= *.*?# *(.*)$", source, re.M))
    return {key: (value, comments.get(key, "")) for key, value in values.items()}


def begin(namespace, name):
    """Check the parameters that a notebook was given and return its Run.

    Parameters
    ----------
    namespace : dict
        The notebook's `globals()`.
    name : str
        The notebook, e.g. "06_mean_squared_displacement".

    Raises
    ------
    GlasslibError
        For a name that is no parameter (with the nearest one that is) or a value of another type than its default.
    """
    given = {
        k: v
        for k, v in namespace.items()
        if not k.startswith("_") and k not in _KERNEL_NAMES and not callable(v) and not _module(v)
    }
    parameters = {key: value for key, (value, _) in declared(name).items()} | checked(name, given)
    namespace.update(parameters)
    return Run(name, parameters)


def checked(name, given):
    """The parameters `given` to a notebook, each in the type of its default; GlasslibError for an unknown name or a wrong type."""
    known = declared(name)
    if not isinstance(given, dict):
        raise GlasslibError(f"parameters of notebook {name} must be a mapping of names to values, not {shown(given)}")
    for key in given:
        if key not in known:
            raise GlasslibError(f"notebook {name} has no parameter {shown(key)}{suggestion(key, known)}")
    return {key: _typed(key, value, *known[key]) for key, value in given.items()}


def suggestion(key, known):
    """End of an error message about the unknown `key`: the nearest known one, or all of them."""
    near = difflib.get_close_matches(shown(key).strip("'"), known, 1)
    return f": did you mean {near[0]!r}?" if near else f": there are {', '.join(known)}"


def _module(value):
    return type(value).__name__ == "module"


def _typed(key, value, default, comment):
    """`value` in the type of `default`: a number may be whole, everything else must match."""
    wrong = GlasslibError(
        f"parameter {key!r} ({comment}) must be of type {type(default).__name__} such as {default!r}, not {type(value).__name__} {shown(value)}"
    )
    if isinstance(value, float) and not math.isfinite(value) or isinstance(value, int) and abs(value) > 10**18:
        raise GlasslibError(f"parameter {key!r} ({comment}) must be a finite number, not {shown(value)}")
    if default is None:
        return value
    if isinstance(default, bool) or isinstance(value, bool):
        if isinstance(default, bool) and isinstance(value, bool):
            return value
        raise wrong
    if isinstance(default, float) and isinstance(value, (int, float)):
        return float(value)
    if not isinstance(value, type(default)):
        raise wrong
    if isinstance(default, list) and default:
        return [_typed(key, item, default[0], comment) for item in value]
    return value


class Run:
    """One execution of a notebook: its parameters, the files it read, and the signature of its figures."""

    def __init__(self, name, parameters):
        self.name, self.parameters, self.inputs = name, parameters, []
        self.profile = os.environ.get(PROFILE) or Path(parameters.get("run_dir", "none")).name

    def needs(self, path, made_by):
        """`path` as a Path if it exists; otherwise GlasslibError with the command that makes it."""
        path = Path(path)
        if not path.exists():
            raise GlasslibError(f"notebook {self.name} needs {path}, which is not there: make it with `{made_by}`")
        if path.is_file():
            self.inputs.append(path)
        return path

    def read(self, *paths):
        """Note further files as inputs."""
        self.inputs += [Path(p) for p in paths]

    @property
    def hash(self):
        """Content hash of library parts, inputs and parameters."""
        return content_hash(self.parameters, self.inputs, parts(self.name))

    def sign(self):
        """Show the line that stands under a figure: profile, parameters and content hash.

        The full record travels as metadata of that output, inside the executed notebook, where `stale` finds it.
        """
        from IPython.display import Markdown, display
        from matplotlib import pyplot

        pyplot.show()  # figures that would otherwise appear at the end of the cell, below this line
        shown = " · ".join(f"{k} = {_short(v)}" for k, v in self.parameters.items() if k not in ("run_dir", "results"))
        line = f"<small>Made by profile **{self.profile}** · {shown} · content hash `{self.hash}`</small>"
        record = {
            "notebook": self.name,
            "parameters": self.parameters,
            "inputs": hashes(self.inputs),
            "library_hash": library_hash(parts(self.name)),
            "source_hash": source_hash(self.name),
            "content_hash": self.hash,
        }
        display(Markdown(line), metadata={"glasslib": record})


def _short(value):
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "…"


def signatures(executed):
    """Records that `Run.sign` left in an executed notebook, one for each signed figure."""
    cells = read_json(executed)["cells"]
    outputs = (output for cell in cells for output in cell.get("outputs", []))
    return [output["metadata"]["glasslib"] for output in outputs if "glasslib" in output.get("metadata", {})]


def source_hash(name):
    """Hash of the text and code of a notebook."""
    cells = read_json(NOTEBOOKS / f"{name}.ipynb")["cells"]
    text = json.dumps([(cell["cell_type"], "".join(cell["source"])) for cell in cells])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def stale(executed, wanted=None):
    """Why an executed notebook is out of date: a list of reasons, empty when it is fresh.

    Parameters
    ----------
    executed : path
    wanted : dict, optional
        Parameters that it should have been executed with.
    """
    records = signatures(executed)
    reasons = [] if records else ["no figure in it is signed"]
    for record in records:
        if record["library_hash"] != library_hash(parts(record["notebook"])):
            reasons.append("the library has changed")
        if record.get("source_hash") != source_hash(record["notebook"]):
            reasons.append("the notebook has changed")
        for key, value in (wanted or {}).items():
            if record["parameters"].get(key) != value:
                reasons.append(f"parameter {key} has changed")
        for name, known in record["inputs"].items():
            if not Path(name).exists():
                reasons.append(f"{name} is missing")
            elif sha256(name) != known:
                reasons.append(f"{name} has changed")
    return sorted(set(reasons))
