"""What a run does: a list of stages as plain data, checked before anything starts."""

import dataclasses
import difflib
import math
from dataclasses import dataclass

import numpy as np
from ase import units

from ..errors import GlasslibError, shown

ENSEMBLES = ("nve", "nvt", "npt")
THERMOSTATS = ("bussi", "langevin", "nose-hoover")
STRAINS = ("xx", "yy", "zz", "yz", "xz", "xy")
MOST_STEPS, MOST_FRAMES = 10**12, 10**7  # of a stage


@dataclass(frozen=True)
class Stage:
    """One stage of a run. A pair [from, to] is a linear ramp over the stage; where `rate` is given, it sets the length.

    Attributes
    ----------
    ensemble : "nve", "nvt" or "npt"
    length : float
        ps.
    timestep : float
        fs.
    temperature : float or pair
        K; of nvt and npt.
    rate : float
        K/ps of a temperature ramp, in place of `length`.
    pressure : float or pair
        GPa; of npt.
    density : float or pair
        g/cm³; of nve and nvt: the cell is scaled to it, a single number from the density at the start of the stage.
    strain : dict
        Total strain of the stage, of nve and nvt: some of xx, yy, zz, yz, xz, xy, e.g. {"xx": 0.1} lengthens x by a tenth.
    thermostat : "bussi", "langevin" or "nose-hoover"
        Default: "bussi" in nvt (canonical, barely disturbs the dynamics), "nose-hoover" in npt. A start far from equilibrium wants "langevin".
    cell : "isotropic" or "full"
        What npt may change: the volume, or lengths and angles.
    damping, barostat_damping : float
        Time constants, ps.
    output : "none", "log" or "linear"
        Frames kept; default: "log" in the last stage, "none" before.
    block, per_decade : float, int
        Of log output: length of a block in ps (default: a tenth of the stage) and frames for each decade of time.
    interval : float
        ps between evenly spaced frames: all of them in linear output (default: a thousandth of the stage), beside the others in log output
        (default: none).
    name : str
        Shown in messages: "melt", "equilibrate", "produce", …
    """

    ensemble: str
    length: float = None
    timestep: float = 1.0
    temperature: float | tuple = None
    rate: float = None
    pressure: float | tuple = None
    density: float | tuple = None
    strain: dict = None
    thermostat: str = None
    cell: str = "isotropic"
    damping: float = 0.1
    barostat_damping: float = 1.0
    output: str = None
    block: float = None
    per_decade: int = 10
    interval: float = None
    name: str = ""

    @property
    def steps(self):
        """Number of integration steps."""
        return max(1, round(self.length * 1000 / self.timestep))

    def frames(self):
        """Steps of the stage (0 … steps) at which a frame is kept, increasing."""
        if self.output == "log":
            spread = log_frames(self.steps, self.block_steps, self.per_decade)
            return spread if self.interval is None else np.union1d(spread, self._even())
        if self.output == "linear":
            return self._even()
        return np.array([], dtype=int)

    def _even(self):
        return np.arange(0, self.steps + 1, max(1, round(self.interval * 1000 / self.timestep)))

    @property
    def block_steps(self):
        """Steps of one block of log output."""
        return min(self.steps, max(1, round(self.block * 1000 / self.timestep)))

    def at(self, field, step):
        """Value of `temperature` (K) or `pressure` (GPa) during the step that starts at `step`, None where the stage has none."""
        value = getattr(self, field)
        return value[0] + (value[1] - value[0]) * (step + 0.5) / self.steps if isinstance(value, tuple) else value

    def first(self, field):
        """Value at the start of the stage."""
        value = getattr(self, field)
        return value[0] if isinstance(value, tuple) else value

    @property
    def ramped(self):
        """Whether temperature or pressure change."""
        return isinstance(self.temperature, tuple) or isinstance(self.pressure, tuple)

    @property
    def deformed(self):
        """Whether the stage changes the cell by itself."""
        return self.density is not None or self.strain is not None

    def cell_at(self, step, cell, mass):
        """Cell [3, 3] (Å) after `step` steps, for the cell (Å) at the start of the stage and the mass (u) in it."""
        share = step / self.steps
        if self.strain is not None:
            strain = np.zeros((3, 3))
            for key, value in self.strain.items():
                i, j = ("xyz".index(k) for k in key)
                strain[i, j] = strain[j, i] = value if i == j else value / 2
            return cell @ (np.eye(3) + share * strain)
        now = units._amu * 1e27 * mass / abs(np.linalg.det(cell))  # g/cm³
        start, end = self.density if isinstance(self.density, tuple) else (now, self.density)
        return cell * (now / (start + (end - start) * share)) ** (1 / 3)


def log_frames(n_steps, block, per_decade=10):
    """Steps of log-spaced output with many origins.

    The run is cut into blocks of `block` steps. Each starts with an origin and has frames at the offsets 1, 2, 3, … that are
    spaced evenly in the logarithm, up to the next origin. A lag time of one of these offsets is then found once in every block,
    and a multiple of `block` between all origins, so the lag times run from one step to the whole run with few frames.

    Parameters
    ----------
    n_steps : int
        Length of the run.
    block : int
        Steps from one origin to the next.
    per_decade : int
        Offsets for each factor of ten.

    Returns
    -------
    int array
        Increasing steps, from 0 to n_steps.

    Examples
    --------
    >>> log_frames(20, 10, per_decade=3).tolist()
    [0, 1, 2, 5, 10, 11, 12, 15, 20]
    """
    for name, value in (("n_steps", n_steps), ("block", block), ("per_decade", per_decade)):
        if isinstance(value, bool) or int(value) != value or value < 1:
            raise GlasslibError(f"log_frames: {name} must be a whole number of at least 1, not {value!r}")
    n_steps, block = int(n_steps), int(block)
    count = math.floor(math.log10(block) * per_decade + 1e-9)
    offsets = np.unique(np.round(10 ** (np.arange(count + 1) / per_decade)).astype(int))
    offsets = np.concatenate([[0], offsets[offsets < block]])
    origins = np.arange(0, n_steps + 1, block)
    steps = (origins[:, None] + offsets).ravel()
    return np.unique(np.append(steps[steps <= n_steps], n_steps))


def read_schedule(stages):
    """Check a schedule and complete its defaults.

    Parameters
    ----------
    stages : list of dict or Stage
        See Stage for the keys.

    Returns
    -------
    tuple of Stage

    Raises
    ------
    GlasslibError
        Naming the stage and the key that is unknown, missing, of a wrong type or out of range.

    Examples
    --------
    >>> stages = read_schedule([
    ...     {"name": "melt", "ensemble": "nvt", "temperature": 4500, "length": 2, "thermostat": "langevin"},
    ...     {"name": "quench", "ensemble": "nvt", "temperature": [4500, 3000], "rate": 500},
    ...     {"name": "produce", "ensemble": "nvt", "temperature": 3000, "length": 10, "timestep": 2},
    ... ])
    >>> [stage.steps for stage in stages]
    [2000, 3000, 5000]
    """
    if isinstance(stages, (dict, Stage, str)) or not hasattr(stages, "__iter__"):
        raise GlasslibError(
            "a schedule is a list of stages, each a mapping such as {ensemble: nvt, temperature: 3000, length: 10}"
        )
    stages = list(stages)
    if not stages:
        raise GlasslibError(
            "the schedule has no stage: give at least one, such as {ensemble: nvt, temperature: 3000, length: 10}"
        )
    done = tuple(_checked(stage, number, len(stages)) for number, stage in enumerate(stages, 1))
    steps = {stage.timestep for stage in done if stage.output != "none"}
    if not steps:
        raise GlasslibError("no stage of the schedule keeps frames: set `output: log` or `output: linear` in one")
    if len(steps) > 1:
        raise GlasslibError(f"stages that keep frames must share one timestep, not {sorted(steps)} fs")
    return done


def total_length(stages):
    """Length of all stages, ps."""
    return sum(stage.steps * stage.timestep for stage in stages) / 1000


def _checked(stage, number, count):
    values = dataclasses.asdict(stage) if isinstance(stage, Stage) else stage
    if not isinstance(values, dict):
        raise GlasslibError(f"stage {number} must be a mapping of keys to values, not {shown(values)}")
    names = [field.name for field in dataclasses.fields(Stage)]
    label = f"stage {number}" + (f" ({str(values['name'])[:60]})" if isinstance(values.get("name"), str) else "")
    for key in values:
        if key not in names:
            near = difflib.get_close_matches(shown(key).strip("'"), names, 1)
            raise GlasslibError(
                f"{label}: unknown key {shown(key)}"
                + (f", did you mean {near[0]!r}?" if near else f": known are {', '.join(names)}")
            )
    values = {key: value for key, value in values.items() if value is not None}

    def fail(key, wish):
        raise GlasslibError(f"{label}: {key} must be {wish}, not {shown(values.get(key))}")

    def choice(key, known):
        if key in values and values[key] not in known:
            fail(key, "one of " + ", ".join(known))

    def number_(key, low, high, pair=False, wish="a number"):
        if key not in values:
            return
        given = values[key]
        parts = list(given) if pair and isinstance(given, (list, tuple)) and len(given) == 2 else [given]
        for part in parts:
            real = isinstance(part, (int, float, np.integer, np.floating)) and not isinstance(part, bool)
            if not real or not low <= part <= high:
                fail(key, f"{wish} from {low:g} to {high:g}" + (" or a pair of such" if pair else ""))
        values[key] = tuple(map(float, parts)) if len(parts) == 2 else float(parts[0])

    choice("ensemble", ENSEMBLES)
    if "ensemble" not in values:
        raise GlasslibError(f"{label}: key 'ensemble' is missing: one of {', '.join(ENSEMBLES)}")
    choice("thermostat", THERMOSTATS)
    choice("cell", ("isotropic", "full"))
    choice("output", ("none", "log", "linear"))
    number_("timestep", 0.001, 20, wish="fs")
    number_("length", 1e-6, 1e9, wish="ps")
    number_("rate", 1e-6, 1e6, wish="K/ps")
    number_("temperature", 1e-3, 20000, pair=True, wish="K")
    number_("pressure", -100, 1000, pair=True, wish="GPa")
    number_("density", 0.01, 30, pair=True, wish="g/cm³")
    for key in ("damping", "barostat_damping", "block", "interval"):
        number_(key, 1e-4, 1e9, wish="ps")
    number_("per_decade", 1, 1000, wish="a whole number")
    if values.get("per_decade", 1) % 1:
        fail("per_decade", "a whole number")
    if "name" in values and not isinstance(values["name"], str):
        fail("name", "text")
    strain = values.get("strain")
    if strain is not None:
        if not isinstance(strain, dict) or not strain or any(k not in STRAINS for k in strain):
            fail("strain", f"a mapping with some of {', '.join(STRAINS)}")
        if any(isinstance(v, bool) or not isinstance(v, (int, float)) or not abs(v) <= 1 for v in strain.values()):
            fail("strain", "made of numbers from -1 to 1")
    _consistent(values, label)
    if "rate" in values:
        start, end = values["temperature"]
        values["length"] = abs(end - start) / values.pop("rate")
    values.setdefault("output", "log" if number == count else "none")
    values["per_decade"] = int(values.get("per_decade", 10))
    values.setdefault("block", values["length"] / 10)
    if values["output"] == "linear":
        values.setdefault("interval", values["length"] / 1000)
    if values["ensemble"] != "nve":
        values.setdefault("thermostat", "nose-hoover" if values["ensemble"] == "npt" else "bussi")
    stage = Stage(**values)
    _bounded(stage, label)
    return stage


def _bounded(stage, label):
    """Refuse a stage that no machine finishes, or whose frames no disk holds."""
    steps = stage.length * 1000 / stage.timestep
    if steps > MOST_STEPS:
        raise GlasslibError(f"{label}: {steps:.1e} steps are more than {MOST_STEPS:.0e}: shorten it")
    blocks = steps / stage.block_steps if stage.output == "log" else 0
    frames = blocks * (1 + min(stage.block_steps, math.log10(stage.block_steps) * stage.per_decade))
    if stage.output != "none" and stage.interval is not None:
        frames += min(steps, stage.length / stage.interval)
    if frames > MOST_FRAMES:
        raise GlasslibError(
            f"{label}: it would keep {frames:.1e} frames, more than {MOST_FRAMES:.0e}: lengthen its block or interval"
        )


def _consistent(values, label):
    """Keys that need or exclude each other."""
    ensemble = values["ensemble"]
    needs = {"nve": (), "nvt": ("temperature",), "npt": ("temperature", "pressure")}[ensemble]
    unused = {"nve": ("temperature", "pressure", "thermostat"), "nvt": ("pressure",), "npt": ("density", "strain")}[
        ensemble
    ]
    for key in needs:
        if key not in values:
            raise GlasslibError(f"{label}: ensemble {ensemble} needs {key!r}")
    for key in unused:
        if key in values:
            raise GlasslibError(f"{label}: {key!r} has no meaning in ensemble {ensemble}: leave it out")
    if ensemble == "npt" and values.get("thermostat") == "bussi":
        raise GlasslibError(f"{label}: npt runs with the thermostat nose-hoover or langevin")
    if "density" in values and "strain" in values:
        raise GlasslibError(f"{label}: give density or strain, not both")
    if "rate" in values:
        if "length" in values:
            raise GlasslibError(f"{label}: give length or rate, not both")
        if not isinstance(values.get("temperature"), tuple) or values["temperature"][0] == values["temperature"][1]:
            raise GlasslibError(f"{label}: rate needs a temperature ramp such as [4000, 3000]")
    elif "length" not in values:
        raise GlasslibError(f"{label}: key 'length' (ps) is missing")
