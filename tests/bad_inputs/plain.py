"""Profiles and schedules in YAML, parameters of notebooks."""

import pickle

from .common import JUNK, Case, pipe

GOOD = "compositions: [NS2]\ntemperatures: [3000]\n"
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 30))
MERGE = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 30))
YAML = {
    "alias bomb": ("aliases", BOMB),
    "merge bomb": ("aliases", MERGE),
    "a list that holds itself": ("aliases", "compositions: &a [*a]\n"),
    "nested without end": ("nested too deeply", "[" * 5000),
    "empty": ("must be a", ""),
    "binary junk": ("cannot be read", JUNK),
    "not UTF-8": ("cannot be read", GOOD.encode() + b"# \xff\xfe\n"),
    "a pickle": ("bad.yml", pickle.dumps({"compositions": ["NS2"]})),
    "megabytes": ("bytes", "# " + "a" * 1_000_000),
    "a named pipe": ("device", pipe),
    "a folder": ("folder", lambda path: path.mkdir()),
    "code": ("cannot be read", "compositions: !!python/object/apply:os.system ['true']\n"),
    "a date that is none": ("cannot be read", "compositions: 2001-13-45\n"),
    "a tag that does not fit": ("cannot be read", "compositions: !!int abc\n"),
    "a number of thousands of digits": ("bad.yml", "compositions: " + "9" * 6000 + "\n"),
    "not closed": ("cannot be read", "compositions: [NS2\n"),
    "a text": ("must be a", "only words\n"),
    "two documents": ("cannot be read", GOOD + "---\n" + GOOD),
}
PROFILES = {
    "key given twice": ("twice", GOOD + "temperatures: [2500]\n"),
    "no temperatures": ("temperatures", "compositions: [NS2]\n"),
    "no values": ("empty", "compositions: []\ntemperatures: [3000]\n"),
    "a temperature twice": ("twice", "compositions: [NS2]\ntemperatures: [3000, 3000]\n"),
    "a composition twice": ("twice", "compositions: [NS2, NS2]\ntemperatures: [3000]\n"),
    "temperature not a number": ("temperature", "compositions: [NS2]\ntemperatures: [.nan]\n"),
    "temperature infinite": ("temperature", "compositions: [NS2]\ntemperatures: [.inf]\n"),
    "temperature in Celsius below zero": ("temperature", "compositions: [NS2]\ntemperatures: [-50]\n"),
    "temperature between two kelvin": ("whole", "compositions: [NS2]\ntemperatures: [3000.5]\n"),
    "temperature with its unit": ("temperature", "compositions: [NS2]\ntemperatures: [3000 K]\n"),
    "composition that is No": ("False", "compositions: [No]\ntemperatures: [3000]\n"),
    "composition that leaves the folder": ("..", "compositions: [../../NS2]\ntemperatures: [3000]\n"),
    "composition of nothing known": ("UO2", "compositions: [UO2]\ntemperatures: [3000]\n"),
    "composition that is a mapping": ("name", "compositions: [{SiO2: 1}]\ntemperatures: [3000]\n"),
    "replicas beyond all": ("replicas", GOOD + "replicas: 0x" + "f" * 5000 + "\n"),
    "no replicas": ("replicas", GOOD + "replicas: 0\n"),
    "replicas that are true": ("replicas", GOOD + "replicas: true\n"),
    "parameters that are a list": ("mapping", GOOD + "04_simulation: [atoms, 200]\n"),
    "parameters that are a number": ("mapping", GOOD + "04_simulation: 5\n"),
    "parameter not a number": ("finite", GOOD + "04_simulation: {timestep: .nan}\n"),
    "misspelt parameter": ("timestep", GOOD + "04_simulation: {timstep: 1.0}\n"),
    "unknown notebook": ("04_simulation", GOOD + "04_simulations: {}\n"),
    "a key that is a number": ("unknown key", GOOD + "5: 5\n"),
}
NVT = {"ensemble": "nvt", "temperature": 3000, "length": 1}
STAGES = {
    "a text": ("list of stages", "nvt"),
    "nothing": ("list of stages", None),
    "no stage": ("no stage", []),
    "a stage that is a list": ("mapping", [["nvt", 3000]]),
    "no ensemble": ("ensemble", [{"temperature": 3000, "length": 1}]),
    "ensemble that is a list": ("ensemble", [NVT | {"ensemble": ["nvt"]}]),
    "unknown ensemble": ("ensemble", [NVT | {"ensemble": "nph"}]),
    "misspelt key": ("temperature", [NVT | {"temprature": 3}]),
    "temperature not a number": ("temperature", [NVT | {"temperature": float("nan")}]),
    "temperature infinite": ("temperature", [NVT | {"temperature": float("inf")}]),
    "temperature below zero": ("temperature", [NVT | {"temperature": -3000}]),
    "ramp of three": ("temperature", [NVT | {"temperature": [1, 2, 3]}]),
    "length below zero": ("length", [NVT | {"length": -1}]),
    "timestep in s": ("timestep", [NVT | {"timestep": 1e-15}]),
    "timestep true": ("timestep", [NVT | {"timestep": True}]),
    "a number beyond all": ("length", [NVT | {"length": 10**5000}]),
    "steps without end": ("steps", [NVT | {"length": 1e9, "timestep": 0.001}]),
    "frames without end": ("frames", [NVT | {"length": 1e6, "output": "linear", "interval": 0.001}]),
    "blocks without end": ("frames", [NVT | {"length": 1e6, "block": 1e-3}]),
    "part of a frame": ("per_decade", [NVT | {"per_decade": 2.5}]),
    "pressure in nvt": ("pressure", [NVT | {"pressure": 1}]),
    "pressure in Pa": ("pressure", [NVT | {"ensemble": "npt", "pressure": 101325}]),
    "density in kg/m³": ("density", [NVT | {"density": 2400}]),
    "strain not a number": ("strain", [NVT | {"strain": {"xx": float("nan")}}]),
    "strain along nothing": ("strain", [NVT | {"strain": {"ww": 0.1}}]),
    "rate and length": ("rate", [NVT | {"rate": 5, "temperature": [3, 5]}]),
    "rate without a ramp": ("ramp", [{"ensemble": "nvt", "temperature": 3000, "rate": 5}]),
    "name of numbers": ("name", [NVT | {"name": 5}]),
    "no frames kept": ("keeps frames", [NVT | {"output": "none"}]),
}
GIVEN = {
    "a list": ("mapping", ["atoms", 200]),
    "misspelt": ("timestep", {"timstep": 1.0}),
    "a key of kilobytes": ("no parameter", {"a" * 5000: 1}),
    "a key that is a number": ("no parameter", {5: 1}),
    "a word for a number": ("timestep", {"timestep": "fast"}),
    "not a number": ("finite", {"timestep": float("nan")}),
    "infinite": ("finite", {"produce": float("-inf")}),
    "a number beyond all": ("finite", {"produce": 10**400}),
    "digits by the thousand": ("finite", {"atoms": 10**6000}),
    "a truth for a number": ("atoms", {"atoms": True}),
    "part of an atom": ("atoms", {"atoms": 200.5}),
    "nothing": ("timestep", {"timestep": None}),
    "a list for a text": ("composition", {"composition": ["NS2"]}),
}
NAMES = {
    "path that leaves the folder": "../../etc/passwd",
    "zero byte": "04\0",
    "empty": "",
    "of kilobytes": "a" * 5000,
}
CASES = (
    {f"profile, {key}": Case("profile", text, "bad.yml", made) for key, (text, made) in (YAML | PROFILES).items()}
    | {f"schedule, {key}": Case("schedule", text if text != "must be a" else "schedule", "bad.yml", made) for key, (text, made) in YAML.items() if key not in ("a number of thousands of digits", "a date that is none")}
    | {f"stages, {key}": Case("stages", text, "", made) for key, (text, made) in STAGES.items()}
    | {f"notebook, {key}": Case("notebook", text, "", made) for key, (text, made) in GIVEN.items()}
    | {f"notebook, name {key}": Case("notebook name", "no notebook", "", name) for key, name in NAMES.items()}
    | {"profile, not there": Case("profile", "no profile", "none.yml", None),
       "profile, name of kilobytes": Case("profile", "no profile", "a" * 5000 + ".yml", None)}
)  # fmt: skip
