import json
from threading import Thread

import numpy as np
import pytest
import xarray as xr
import yaml

from glasslib import GlasslibError, analysis, book, notebook, profiles, sweep, workflow
from glasslib.cli.app import settings
from glasslib.files import alone

QUICK = yaml.safe_load((profiles.ROOT / "profiles" / "quick.yml").read_text())


def written(tmp_path, change):
    path = tmp_path / "mine.yml"
    path.write_text(yaml.safe_dump(QUICK | change))
    return path


@pytest.mark.parametrize("name", ["quick", "standard", "paper", "pmmcs", "shik", "size"])
def test_shipped_profiles_are_valid(name):
    profile = profiles.load_profile(name)
    assert (
        len(profiles.states(profile))
        == len(profile["compositions"]) * len(profile["temperatures"]) * profile["replicas"]
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"temprature": [3000]}, "temperatures"),
        ({"compositions": "NS2"}, "compositions"),
        ({"compositions": ["NX"]}, "NX"),
        ({"compositions": ["NS2@many"]}, "NS2@many"),
        ({"compositions": ["NX@300"]}, "NX"),
        ({"temperatures": ["hot"]}, "hot"),
        ({"temperatures": [-300]}, "-300"),
        ({"replicas": 0}, "replicas"),
        ({"replicas": True}, "replicas"),
        ({"04_simulation": {"timstep": 1.0}}, "timestep"),
        ({"04_simulation": {"timestep": "fast"}}, "timestep"),
        ({"04_simulations": {}}, "04_simulation"),
    ],
)
def test_a_wrong_profile_is_refused_and_the_key_named(tmp_path, change, named):
    with pytest.raises(GlasslibError, match=named):
        profiles.load_profile(written(tmp_path, change))


def test_a_profile_that_is_not_yaml_or_not_there(tmp_path):
    (tmp_path / "bad.yml").write_text("a: [1\nb: {")
    with pytest.raises(GlasslibError, match="bad.yml"):
        profiles.load_profile(tmp_path / "bad.yml")
    with pytest.raises(GlasslibError, match="quick"):
        profiles.load_profile("quik")


def test_yaml_cannot_run_code(tmp_path):
    (tmp_path / "bad.yml").write_text("compositions: !!python/object/apply:os.system ['true']")
    with pytest.raises(GlasslibError):
        profiles.load_profile(tmp_path / "bad.yml")


def test_values_of_a_profile_reach_the_notebook():
    profile = profiles.load_profile("quick")
    given = profiles.parameters(profile, "04_simulation", "runs/quick", composition="NS4", nonsense=1)
    assert (
        given["atoms"] == QUICK["04_simulation"]["atoms"] and given["composition"] == "NS4" and "nonsense" not in given
    )


def test_a_composition_may_name_the_size_of_its_box():
    profile = profiles.load_profile("size")
    given = profiles.parameters(profile, "04_simulation", "runs/size", composition="NS2@1500")
    assert given["composition"] == "NS2" and given["atoms"] == 1500
    assert "1503 atoms, 2 runs" in profiles.plan(profile)


def test_results_of_several_boxes_are_found_by_their_melt():
    D = {("NS2@300", 3000.0): 1, ("NS2@600", 3000.0): 2, ("NS2", 2500.0): 3, ("NS4@300", 3000.0): 4}
    assert sweep.sizes(D) == {("NS2", 3000.0): [1, 2]}


def results(folder, **states):
    """A folder of results: observable → {state: value}."""
    for name, values in states.items():
        made = {state: xr.Dataset({"D": ("species", [float(v)])}, {"species": ["Na"]}) for state, v in values.items()}
        sweep.save(made, folder / f"{name}.nc", run_dir=folder.name)
    return folder


def test_each_species_is_read_at_its_own_distance_and_states_without_it_are_left_out():
    data = xr.Dataset(
        {"chi_4": (("species", "a", "time"), np.arange(12.0).reshape(3, 2, 2))},
        {"species": ["Na", "O", "Si"], "a": [1.0, 2.0], "time": [0.1, 1.0]},
    )
    results = {("NS2", 2000.0): data, ("NS2", 3000.0): data.sel(a=[1.0])}
    found = sweep.by_species(results, "a", {"Na": 2.0, "O": 1.0, "Si": 1.0})
    assert list(found) == [("NS2", 2000.0)]
    with pytest.raises(GlasslibError, match="not for O, Si"):
        sweep.by_species(results, "a", {"Na": 2.0})
    one = found["NS2", 2000.0]
    assert one.chi_4.transpose("species", "time").values.tolist() == [[2, 3], [4, 5], [8, 9]]
    assert one.species.values.tolist() == ["Na", "O", "Si"] and one.chi_4.sel(species="Na").shape == (2,)


def test_a_set_of_results_grows_state_by_state(tmp_path):
    cold, hot = ("NS2", 1500.0), ("NS2", 3000.0)
    old = results(tmp_path / "old", msd={hot: 1, ("NS4", 2000.0): 2}, hops={hot: 3}, finite_size={hot: 4})
    new = results(tmp_path / "new", msd={hot: 5, cold: 6}, hops={hot: 7, cold: 8}, alpha={hot: 9, cold: 10})
    assert sweep.merge(new, old) == {"added": [cold], "replaced": [hot]}
    values = {
        name: {state: data.D.item() for state, data in sweep.load(old / f"{name}.nc").items()}
        for name in ("msd", "hops", "alpha", "finite_size")
    }
    assert values == {
        "msd": {cold: 6, hot: 5, ("NS4", 2000.0): 2},
        "hops": {cold: 8, hot: 7},
        "alpha": {cold: 10, hot: 9},
        "finite_size": {hot: 4},
    }
    assert (
        sweep.attributes(old / "msd.nc")["run_dir"] == "old" and sweep.attributes(old / "alpha.nc")["run_dir"] == "new"
    )


def test_small_results_are_kept_exactly_and_large_ones_to_seven_digits(tmp_path):
    rng = np.random.default_rng(0)
    made = xr.Dataset({"a": (("x",), rng.normal(size=100)), "b": (("x", "y"), rng.normal(size=(100, 100)))})
    sweep.save({("NS2", 3000.0): made}, tmp_path / "a.nc")
    kept = sweep.load(tmp_path / "a.nc")["NS2", 3000.0]
    assert np.array_equal(kept.a, made.a)
    np.testing.assert_allclose(kept.b, made.b, rtol=1e-6)


def test_a_merge_that_would_mix_two_runs_of_a_state_is_refused(tmp_path):
    state = ("NS2", 3000.0)
    old = results(tmp_path / "old", msd={state: 1}, hops={state: 2})
    with pytest.raises(GlasslibError, match=r"lacks hops\.nc of states that"):
        sweep.merge(results(tmp_path / "new", msd={state: 3}), old)
    assert sweep.load(old / "msd.nc")[state].D.item() == 1
    with pytest.raises(GlasslibError, match="no results"):
        sweep.merge(tmp_path / "nowhere", old)


def test_two_processes_that_merge_into_one_folder_take_turns(tmp_path):
    target = results(tmp_path / "old", msd={("NS2", 500.0): 1})
    source = results(tmp_path / "new", msd={("NS2", 1000.0): 2})
    merging = Thread(target=sweep.merge, args=(source, target))
    with alone(target):
        merging.start()
        merging.join(0.3)
        assert merging.is_alive() and list(sweep.load(target / "msd.nc")) == [("NS2", 500.0)]
    merging.join()
    assert len(sweep.load(target / "msd.nc")) == 2


def test_results_of_single_trajectories_are_not_merged_and_stay_as_they_are(tmp_path):
    states = results(tmp_path / "states", msd={("NS2", 3000.0): 1})
    path = tmp_path / "single" / "msd.nc"
    before = analysis.save({"msd": xr.Dataset({"D": 1.0}), "overlap": xr.Dataset({"Q": 2.0})}, path).read_bytes()
    for source, target in ((states, path.parent), (path.parent, states), (path.parent, tmp_path / "fresh")):
        with pytest.raises(GlasslibError, match=r"single/msd\.nc is no file of a sweep"):
            sweep.merge(source, target)
    assert path.read_bytes() == before and sweep.load(states / "msd.nc")["NS2", 3000.0].D.item() == 1
    assert not (tmp_path / "fresh").exists()
    xr.Dataset({"D": 1.0}).to_netcdf(tmp_path / "flat.nc", engine="h5netcdf")
    with pytest.raises(GlasslibError, match=r"flat\.nc is no file of a sweep"):
        sweep.load(tmp_path / "flat.nc")


def test_parse_values_reads_json_and_leaves_words():
    assert settings(["q=[1.7, 2]", "composition=NS2", "n=3"]) == {
        "q": [1.7, 2],
        "composition": "NS2",
        "n": 3,
    }


def test_types_of_notebook_parameters():
    assert notebook._typed("t", 3, 2.0, "") == 3.0
    for value, default in ((True, 1.0), ("1", 1.0), (1.5, 1), (1, True), ([1, "a"], [1.0]), ("x", [1.0])):
        with pytest.raises(GlasslibError, match="parameter 't'"):
            notebook._typed("t", value, default, "K")


def test_a_signature_goes_stale_with_its_inputs(tmp_path):
    data = tmp_path / "data.nc"
    data.write_text("1")
    run = notebook.Run("06_mean_squared_displacement", {"run_dir": "runs/quick"})
    run.read(data)
    record = {
        "notebook": run.name,
        "inputs": {str(data): notebook.sha256(data)},
        "library_hash": notebook.library_hash(notebook.parts(run.name)),
        "source_hash": notebook.source_hash(run.name),
        "parameters": {"origins": 5},
    }
    executed = tmp_path / "out.ipynb"
    executed.write_text(json.dumps({"cells": [{"outputs": [{"metadata": {"glasslib": record}}]}]}))
    assert notebook.stale(executed) == []
    data.write_text("2")
    assert notebook.stale(executed) == [f"{data} has changed"]
    data.write_text("1")
    assert notebook.stale(executed, {"origins": 5}) == []
    assert notebook.stale(executed, {"origins": 6}) == ["parameter origins has changed"]
    record["source_hash"] = "0"
    executed.write_text(json.dumps({"cells": [{"outputs": [{"metadata": {"glasslib": record}}]}]}))
    assert notebook.stale(executed) == ["the notebook has changed"]
    record["library_hash"] = "0"
    executed.write_text(json.dumps({"cells": [{"outputs": [{"metadata": {"glasslib": record}}]}]}))
    assert "the library has changed" in notebook.stale(executed)
    executed.write_text(json.dumps({"cells": []}))
    assert notebook.stale(executed) != []


def test_readers_see_the_values_that_were_used_and_no_injected_cell():
    cells = [
        {
            "metadata": {"tags": ["parameters"]},
            "source": ["a = 1.0  # K, one\n", "b = 'x'  # name\n", "c = [1, 2]  # ps, two"],
        },
        {"metadata": {"tags": ["injected-parameters"]}, "source": ["# Parameters\n", "a = 2.5\n", 'b = "y # z"\n']},
        {"metadata": {}, "source": ["print(a)"]},
    ]
    shown = book.tidy({"cells": cells})["cells"]
    assert len(shown) == 2
    assert "".join(shown[0]["source"]) == "a = 2.5  # K, one\nb = 'y # z'  # name\nc = [1, 2]  # ps, two"


def test_a_book_of_other_parameters_than_its_profile_gives_is_out_of_date(tmp_path):
    profile = profiles.load_profile("quick")
    wanted = book.given(profile, "07_relaxation", "runs/quick")
    record = {"notebook": "07_relaxation", "inputs": {}, "source_hash": notebook.source_hash("07_relaxation")}
    record |= {"library_hash": notebook.library_hash(notebook.parts("07_relaxation")), "parameters": dict(wanted)}
    executed = tmp_path / "quick" / "notebooks" / "07_relaxation.ipynb"
    executed.parent.mkdir(parents=True)
    executed.write_text(json.dumps({"cells": [{"outputs": [{"metadata": {"glasslib": record}}]}]}))
    assert not [text for text in book.outdated(tmp_path / "quick") if text.startswith("07")]
    record["parameters"]["shown_q"] = 99.0
    executed.write_text(json.dumps({"cells": [{"outputs": [{"metadata": {"glasslib": record}}]}]}))
    assert "07_relaxation: parameter shown_q has changed" in book.outdated(tmp_path / "quick")


def test_a_run_without_its_notebooks_is_out_of_date(tmp_path):
    (tmp_path / "notebooks").mkdir()
    problems = book.outdated(tmp_path)
    assert problems == [f"{path.stem} has not been executed" for path in sorted(notebook.NOTEBOOKS.glob("*.ipynb"))]
    (tmp_path / "notebooks" / "05_structure.ipynb").write_text(json.dumps({"cells": []}))
    assert "05_structure: no figure in it is signed" in book.outdated(tmp_path)


def test_a_state_that_fails_or_is_not_wanted_is_not_drawn_from_an_old_trajectory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two.yml").write_text("compositions: [NS2]\ntemperatures: [3000, 4000]\n")
    hot, cold, stray = (f"NS2_{t}K_0" for t in (4000, 3000, 2000))
    folder = tmp_path / "runs/two/trajectories"
    folder.mkdir(parents=True)
    for name in (hot, cold, stray):
        (folder / f"{name}.h5").write_text("old")
    drawn, works = [], [hot]

    def snakemake(profile, cores, *options, partial=False, lock=None):
        if "--until" in options:
            for name in works:
                (tmp_path / "runs/two/simulations").mkdir(exist_ok=True)
                (tmp_path / f"runs/two/simulations/{name}.ipynb").touch()
            return len(works) == 2
        drawn.append(sorted(path.stem for path in folder.glob("*.h5")))
        return True

    monkeypatch.setattr(workflow, "_snakemake", snakemake)
    assert [path.stem for path in workflow.run("two.yml")] == [cold]
    works.append(cold)
    assert workflow.run("two.yml") == []
    assert drawn == [[hot], [cold, hot]]
    assert (folder / f"{stray}.h5.aside").read_text() == "old"
