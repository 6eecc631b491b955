"""Figures draw what they are given, whatever of it is missing, and can be read in grey."""

import itertools

import matplotlib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from glasslib import figures
from glasslib.figures import theme

SPECIES = ["Na", "O", "Si"]
TIME, R = np.geomspace(0.01, 5, 20), np.arange(0.05, 8, 0.1)
ONE = [("NS2", 3000.0)]
SEVERAL = [("NS2", 2500.0), ("NS2", 3000.0), ("NS4", 3000.0)]  # NS4 at 2500 K failed


@pytest.fixture(autouse=True)
def closed():
    figures.style()
    yield
    plt.close("all")


def dataset(dims, sizes, coords, names, sem):
    rng = np.random.default_rng(0)
    data = {}
    for name in names:
        data[name] = (dims, rng.uniform(0.1, 1, sizes))
        data[f"{name}_sem"] = (dims, np.full(sizes, sem))
    return xr.Dataset(data, coords, {"atoms": '{"O": 20, "Si": 10}', "length_ps": 5.0, "replicas": 1})


def motion(*names, sem=0.05):
    return dataset(("species", "time"), (3, 20), {"species": SPECIES, "time": TIME}, names, sem)


def table(*names, states):
    rows = [dict(zip(("composition", "temperature", "species"), (*s, n), strict=True)) for s in states for n in SPECIES]
    return pd.DataFrame(rows).assign(**{name: 0.5 for name in names})


def bimodal():
    one = motion("hop_number", "hop_length")
    return one.assign(hop_length=one.hop_length + 3)


def drawings(states, sem=0.05):
    """Every figure of the chapters on melts."""
    both = {"species": SPECIES, "r": R}
    P = dataset(("species", "time", "r"), (3, 20, len(R)), both | {"time": TIME}, ["P"], sem)
    pairs = dataset(("pair", "r"), (3, len(R)), {"pair": ["Na-Na", "Na-O", "O-Si"], "r": R}, ["g"], sem)
    angle = dataset(
        ("triplet", "angle"),
        (2, 90),
        {"triplet": ["O-Si-O", "Si-O-Si"], "angle": np.arange(90) * 2 + 1.0},
        ["probability"],
        sem,
    )
    shares = dataset(("n",), (6,), {"n": range(6)}, ["probability"], sem)
    waves = dataset(("q",), (40,), {"q": np.linspace(0.5, 8, 40)}, ["S"], sem)
    bond = dataset(("time",), (20,), {"time": TIME}, ["C_B"], sem)
    lengths = dataset(("species", "r"), (3, len(R)), both, ["P_length"], sem)
    D = table("D", "D_sem", "diffusive", states=states).assign(diffusive=1)
    fits = pd.DataFrame({"composition": ["NS2"] * 2, "species": ["Na", "O"], "D_0": [10.0, np.nan], "E": [0.5, np.nan]})
    yield figures.against_time(
        {s: motion("msd", sem=sem) for s in states}, "msd", "MSD (Å²)", log=True, slopes=[(1, "∝ t", 0.1, 0.1)]
    )
    yield figures.against_time(
        {s: motion("F_s", "i", sem=sem) for s in states}, "F_s", "F", level=0.37, extra="i", title="this run"
    )
    yield figures.without_species({s: bond for s in states}, "C_B", "C", level=0.37)
    yield figures.diffusion(D, fits, {"longer": D})
    yield figures.diffusion(D.assign(diffusive=0))
    yield figures.points(
        table("tau", "tau_sem", "reached", "bound", states=states).assign(tau=np.nan, reached=0),
        "tau",
        "τ (ps)",
        log=True,
        bound="bound",
    )
    yield figures.van_hove({s: P for s in states}, "Na", [0.1, 1.0, 100.0], found={states[0]: 3.0})
    yield figures.van_hove({s: P for s in states}, "O", [0.1, 1.0], log=True)
    distinct = dataset(("pair", "time", "r"), (1, 20, len(R)), {"pair": ["Na-Na"], "time": TIME, "r": R}, ["G_d"], sem)
    distinct = distinct.assign(density=("pair", [0.02]))
    yield figures.van_hove_distinct({s: distinct for s in states}, "Na-Na", [0.1, 1.0])
    both = [f"{x}_{end}" for x in ("D", "tau") for end in ("infinite", "s")]
    boxes = dataset(("species",), (3,), {"species": SPECIES}, both, sem)
    by_size = dataset(("species", "length"), (3, 3), {"species": SPECIES, "length": [16.0, 21, 28]}, ["D", "tau"], sem)
    whole = {f"{x}_whole": (("species", "length"), np.eye(3, dtype=int)) for x in ("D", "tau")}
    boxes = boxes.merge(by_size, compat="override").assign(whole)
    yield figures.finite_size(boxes.assign_coords(atoms=("length", [300, 600, 1500])), title="one melt")
    measures = table("x", "x_sem", "known", states=states).assign(known=0)
    yield figures.points(measures.assign(species="bond"), "x", "ratio", filled="known", level=1.0)
    yield figures.jumps({s: bimodal() for s in states}, "Na")
    best = motion("minimum", "second", sem=sem).isel(time=12, species=0)
    yield figures.two_maxima({"this run": (states[0], P, best)}, "Na")
    yield figures.hop_lengths({s: lengths for s in states}, "density (1/Å)")
    yield figures.by_distance({s: pairs for s in states}, "g", "g(r)")
    yield figures.bars({"n": {s: shares for s in states}}, reference={"n": {"NS2": {3: 0.8}}})
    yield figures.angles({s: angle for s in states})
    partials = dataset(("pair", "q"), (1, 40), {"pair": ["Na-Na"], "q": np.linspace(0.5, 8, 40)}, ["S"], sem)
    yield figures.structure_factor({s: partials for s in states}, pair="Na-Na", limits=(0, 3))
    yield figures.structure_factor({s: waves for s in states}, marks={"prepeak": (0.9, 0.95)})
    yield figures.front({s: P for s in states}, {s: motion("alpha_2", sem=sem) for s in states}, D, states[0])


@pytest.mark.parametrize(
    ("states", "sem"), [(ONE, 0.05), (SEVERAL, 0.05), (ONE, np.nan)], ids=["one state", "one missing", "no errors"]
)
def test_every_figure_can_be_drawn_with_what_is_there(states, sem, recwarn):
    for figure in drawings(states, sem):
        figure.canvas.draw()
        assert any(ax.lines or ax.containers or ax.collections for ax in figure.axes)
    assert not [w for w in recwarn if "log-scaled" in str(w.message) or "constrained" in str(w.message)]


def test_a_band_is_one_standard_error_wide():
    _, axes = plt.subplots()
    theme.curve(axes, [1.0, 2.0], [5.0, 6.0], [0.5, np.nan])
    corners = axes.collections[0].get_paths()[0].vertices
    assert sorted({round(y, 6) for x, y in corners if x == 1.0}) == [4.5, 5.5]
    assert {y for x, y in corners if x == 2.0} == {6.0}


def luminance(colour):
    """Relative luminance by ITU-R BT.709 of a colour."""
    return float(np.dot(matplotlib.colors.to_rgb(colour), (0.2126, 0.7152, 0.0722)))


def test_colours_differ_in_grey():
    for a, b in itertools.combinations(theme.SPECIES.values(), 2):
        assert abs(luminance(a) - luminance(b)) > 0.1
    shades = [luminance(c) for c in theme.temperature_colours([2000, 2500, 3000, 3500, 4000]).values()]
    assert all(a - b > 0.03 for a, b in itertools.pairwise(shades))


def test_species_have_their_own_dashes_and_markers():
    for marks in (theme.DASHES, theme.MARKERS):
        assert len({str(m) for m in marks.values()}) == len(theme.SPECIES) == len(marks)


def test_every_temperature_and_composition_is_named():
    figure = figures.against_time({s: motion("msd") for s in SEVERAL}, "msd", "MSD (Å²)")
    words = {text.get_text() for text in figure.findobj(matplotlib.text.Text)}
    assert {"2500 K", "3000 K", "NS2", "NS4", "O", "Na", "Si", "MSD (Å²)", "lag time (ps)"} <= words


def test_what_results_are_of_stands_above_them():
    assert figures.about({("NS2", 3000.0): motion("msd")}) == "30 atoms, 5 ps"
    driven = motion("msd").assign_attrs(potential="pmmcs")
    assert figures.about({("NS2", 3000.0): driven}) == "PMMCS, 30 atoms, 5 ps"
    assert figures.about({}) == ""
