"""Files of other programs: LAMMPS, ASE, H5MD; what they do not say is asked for, what they say twice must agree."""

import shutil
import warnings

import ase.io
import h5py
import numpy as np
import pytest
from ase.data import atomic_masses
from test_trajectory import SPECIES, sample, walk

from glasslib import GlasslibError
from glasslib.trajectory import Trajectory, read


def test_h5md_of_other_programs_in_nm_and_fs_with_image_flags(tmp_path):
    positions = walk()
    cell = np.diag([10.0, 11.0, 12.0])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("particles/all")
        image = np.floor(positions / np.diag(cell)).astype(int)
        group["position/value"] = (positions - image * np.diag(cell)) / 10
        group["position/value"].attrs["unit"] = b"nm"
        group["position/step"], group["position/time"] = 10, 20.0
        group["position/time"].attrs["unit"] = b"fs"
        group["position/time"].attrs["offset"] = 100.0
        group["image/value"] = image
        group["box/edges"] = np.diag(cell) / 10
        group["species"] = np.array([8] * 6 + [11] * 4 + [14] * 2)
    opened = Trajectory.open(tmp_path / "a.h5")
    assert np.allclose(np.asarray(opened.positions), positions, atol=1e-9)
    assert np.allclose(opened.cell, cell) and np.allclose(opened.time, 0.1 + 0.02 * np.arange(40))
    assert opened.species.tolist() == SPECIES and opened.step[3] == 30


def shuffled(path, species, image=True):
    """H5MD of a program that stores its atoms in another order in each frame, with ids; their true positions."""
    cell, rng = np.diag([10.0, 11.0, 12.0]), np.random.default_rng(4)
    positions = walk()
    orders = np.array([rng.permutation(12) for _ in positions])
    folded = positions % np.diag(cell)
    with h5py.File(path, "w") as file:
        group = file.create_group("particles/all")
        group["position/value"] = np.take_along_axis(folded, orders[..., None], axis=1)
        if image:
            flags = np.round((positions - folded) / np.diag(cell)).astype(int)
            group["image/value"] = np.take_along_axis(flags, orders[..., None], axis=1)
        group["position/value"].attrs["unit"], group["position/time"] = "Angstrom", 0.1
        group["position/time"].attrs["unit"] = "ps"
        group["id/value"] = 7 * orders + 3
        group["box/edges"] = np.diag(cell)
        group["species"] = species
    return positions


@pytest.mark.parametrize("image", [True, False])
def test_h5md_whose_atoms_change_their_order_is_read_by_their_ids(tmp_path, image):
    exact = shuffled(tmp_path / "a.h5", [8] * 12, image)
    opened = read(tmp_path / "a.h5")
    moved = np.asarray(opened.positions) - exact
    assert np.allclose(moved, 0 if image else moved[0], atol=1e-9)
    assert np.array_equal(opened[5:30:4].select("O").positions[:, 3], np.asarray(opened.positions)[5:30:4, 3])


def test_species_and_masses_follow_the_ids_of_their_atoms(tmp_path):
    numbers = np.array([8] * 6 + [11] * 4 + [14] * 2)
    masses = atomic_masses[numbers] + np.linspace(0, 0.4, 12)
    shuffled(tmp_path / "a.h5", numbers)
    with pytest.raises(GlasslibError, match="species changes between frames"):
        read(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        group = file["particles/all"]
        del group["species"]
        orders = (group["id/value"][()] - 3) // 7
        group["species/value"], group["mass/value"] = numbers[orders], masses[orders]
    opened = read(tmp_path / "a.h5")
    assert opened.species.tolist() == SPECIES and np.array_equal(opened.masses, masses)


def test_ids_in_one_order_leave_the_atoms_where_they_are_and_atoms_that_come_and_go_are_refused(tmp_path):
    saved = sample(5)
    saved.save(tmp_path / "a.h5", dtype="float64")
    constant = np.tile(np.arange(12, 0, -1), (5, 1))
    another, twice, shifted = (
        constant.copy(),
        constant.copy(),
        np.array([np.roll(row, k) for k, row in enumerate(constant)]),
    )
    another[3, 2], twice[:, 1] = 99, 12
    twice[3] = 1
    for ids, message in (
        (constant, None),
        (another, "id/value changes between frames: write the same atoms"),
        (twice, "does not tell the atoms of each frame apart"),
        (shifted[:4], "does not tell the atoms of each frame apart"),
        (constant[:, :4], "must be integers"),
    ):
        with h5py.File(tmp_path / "a.h5", "r+") as file:
            file["particles/trajectory"].pop("id", None)
            file["particles/trajectory/id/value"] = ids
        if message is None:
            assert np.array_equal(np.asarray(read(tmp_path / "a.h5").positions), saved.positions)
        else:
            with pytest.raises(GlasslibError, match=message):
                read(tmp_path / "a.h5")


LAMMPS_COLUMNS = {
    "id element xu yu zu": lambda a, s, i: a,
    "id element x y z ix iy iz": lambda a, s, i: np.column_stack([a - i @ CELL_L, i]),
    "id element xs ys zs ix iy iz": lambda a, s, i: np.column_stack([s - i, i]),
    "id element xsu ysu zsu": lambda a, s, i: s,
    "id element x y z": lambda a, s, i: a - i @ CELL_L,
}


CELL_L = np.array([[11.0, 0, 0], [1.5, 10.0, 0], [0.5, -1.0, 12.0]])


ORIGIN = np.array([-1.0, 2.0, 0.5])


def write_dump(path, columns, convert, positions):
    (xx, _, _), (xy, yy, _), (xz, yz, zz) = CELL_L
    low = ORIGIN + [min(0, xy, xz, xy + xz), min(0, yz), 0]
    high = ORIGIN + [xx + max(0, xy, xz, xy + xz), yy + max(0, yz), zz]
    order = np.random.default_rng(3).permutation(len(SPECIES))
    with open(path, "w") as out:
        for number, frame in enumerate(positions):
            scaled = frame @ np.linalg.inv(CELL_L)
            image = np.floor(scaled).astype(int)
            values = np.array(convert(frame, scaled, image))
            if "s" not in columns.split()[2]:
                values[:, :3] += ORIGIN
            out.write(
                f"ITEM: TIMESTEP\n{number * 100}\nITEM: NUMBER OF ATOMS\n{len(SPECIES)}\nITEM: BOX BOUNDS xy xz yz pp pp pp\n"
            )
            for k, tilt in enumerate((xy, xz, yz)):
                out.write(f"{float(low[k])!r} {float(high[k])!r} {float(tilt)!r}\n")
            out.write(f"ITEM: ATOMS {columns}\n")
            for atom in order:
                numbers = " ".join(f"{v:.10f}" if c < 3 else str(int(v)) for c, v in enumerate(values[atom]))
                out.write(f"{atom + 1} {SPECIES[atom]} {numbers}\n")


@pytest.mark.parametrize("columns", LAMMPS_COLUMNS)
def test_lammps_dumps_of_every_kind_of_coordinates_agree(tmp_path, columns):
    positions = walk(20)
    write_dump(tmp_path / "a.dump", columns, LAMMPS_COLUMNS[columns], positions)
    trajectory = read(tmp_path / "a.dump", timestep=2.0)
    assert np.allclose(trajectory.cell, CELL_L) and trajectory.species.tolist() == SPECIES
    assert np.allclose(trajectory.positions - trajectory.positions[0], positions - positions[0], atol=1e-7)
    assert np.allclose(trajectory.time, 0.2 * np.arange(20)) and trajectory.step.tolist() == list(range(0, 2000, 100))
    inside = (trajectory.positions[0] - positions[0]) @ np.linalg.inv(CELL_L)
    assert np.allclose(inside, np.round(inside), atol=1e-7)


def test_truncated_lammps_dumps_are_refused(tmp_path):
    write_dump(tmp_path / "a.dump", "id element xu yu zu", LAMMPS_COLUMNS["id element xu yu zu"], walk(3))
    whole = (tmp_path / "a.dump").read_text()
    for length in range(200, len(whole) - 20, 331):
        (tmp_path / "b.dump").write_text(whole[:length])
        with pytest.raises(GlasslibError) as caught:
            read(tmp_path / "b.dump", timestep=1.0)
        assert "b.dump" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(GlasslibError, match="timestep in fs"):
        read(tmp_path / "a.dump")


def headed(path, *, times, units=None):
    """A dump of two frames whose header has times, and units of the first frame only, as LAMMPS writes them."""
    write_dump(path, "id element xu yu zu", LAMMPS_COLUMNS["id element xu yu zu"], walk(3))
    whole = path.read_text()
    for number, time in enumerate(times):
        head = f"ITEM: TIMESTEP\n{number * 100}\n"
        first = f"ITEM: UNITS\n{units}\n" if units and number == 0 else ""
        assert head in whole
        whole = whole.replace(head, f"{first}ITEM: TIME\n{time}\n{head}")
    path.write_text(whole)
    return path


@pytest.mark.parametrize(("units", "scale"), [("real", 1e-3), ("metal", 1.0)])
def test_units_at_the_top_of_a_lammps_dump_hold_for_all_its_frames(tmp_path, units, scale):
    found = read(headed(tmp_path / "a.dump", times=[0, 150, 300], units=units))
    assert np.allclose(found.time, np.array([0, 150, 300]) * scale)


def test_lammps_times_without_units_are_not_guessed(tmp_path):
    path = headed(tmp_path / "a.dump", times=[0, 150, 300])
    with pytest.raises(GlasslibError, match="a.dump .* no time with units: pass timestep in fs .* units yes"):
        read(path)
    assert np.allclose(read(path, timestep=2.0).time, [0, 0.2, 0.4])


def test_times_that_a_file_and_an_option_say_must_agree(tmp_path):
    dump = headed(tmp_path / "a.dump", times=[0, 150, 300], units="real")  # every 100 steps
    assert np.allclose(read(dump, timestep=1.502).time, [0, 0.15, 0.3])
    with pytest.raises(
        GlasslibError, match="a.dump says its own times, 0.15 ps .* timestep makes it 0.2 ps: leave out"
    ):
        read(dump, timestep=2.0)
    images = [sample(5).atoms(k) for k in range(5)]
    for k, image in enumerate(images):
        image.info["time"] = 7 + 0.3333 * k
    ase.io.write(tmp_path / "a.extxyz", images)
    assert np.allclose(read(tmp_path / "a.extxyz", interval=1 / 3).time, 7 + 0.3333 * np.arange(5))
    with pytest.raises(GlasslibError, match="a.extxyz says its own times, .* interval makes it 0.5 ps"):
        read(tmp_path / "a.extxyz", interval=0.5)


def test_files_without_units_may_be_told_theirs(tmp_path):
    positions = walk()
    with h5py.File(tmp_path / "a.h5", "w") as file:  # as LAMMPS writes them
        group = file.create_group("particles/all")
        group["position/value"], group["position/step"] = positions, 10 * np.arange(len(positions))
        group["position/time"] = 20.0 * np.arange(len(positions))
        group["image/value"] = np.zeros(positions.shape, int)
        group["box/edges"] = np.array([10.0, 11.0, 12.0])
        group["species"] = np.array([8] * 6 + [11] * 4 + [14] * 2)
    with pytest.raises(GlasslibError, match="a.h5: unit None .* or say units .*'real': Å and fs"):
        read(tmp_path / "a.h5")
    found = read(tmp_path / "a.h5", units="real")
    assert np.allclose(found.time, 0.02 * np.arange(len(positions))) and np.allclose(found.positions, positions)
    assert np.allclose(read(tmp_path / "a.h5", units="metal").time, 20 * np.arange(len(positions)))
    with h5py.File(shutil.copy(tmp_path / "a.h5", tmp_path / "b.h5"), "a") as file:
        file["particles/all/position/time"].attrs["unit"] = "fs"
    assert np.allclose(read(tmp_path / "b.h5", units="real").time, found.time)
    with pytest.raises(GlasslibError, match="b.h5: .*position/time says its unit, fs, itself: leave out units"):
        read(tmp_path / "b.h5", units="metal")
    dump = headed(tmp_path / "a.dump", times=[0, 150, 300])
    assert np.allclose(read(dump, units="real").time, [0, 0.15, 0.3])
    with pytest.raises(GlasslibError, match="b.dump says units real itself, not metal: leave out units"):
        read(headed(tmp_path / "b.dump", times=[0, 150, 300], units="real"), units="metal")
    with pytest.raises(GlasslibError, match="units must be 'metal' or 'real', not 'lj'"):
        read(dump, units="lj")


def test_plain_columns_of_a_dump_that_reach_beyond_the_cell_are_not_folded_silently(tmp_path):
    positions = np.zeros((4, 12, 3)) + np.arange(12)[:, None] * 0.3
    positions[:, 0, 0] = [1.0, 9.0, 17.0, 25.0]
    write_dump(tmp_path / "a.dump", "id element x y z", lambda a, s, i: a, positions)
    with pytest.raises(GlasslibError, match="cannot be told whether positions are wrapped"):
        read(tmp_path / "a.dump", timestep=1.0)
    assert np.allclose(read(tmp_path / "a.dump", timestep=1.0, wrapped=False).positions, positions, atol=1e-7)


@pytest.mark.parametrize("wrapped", ["False", "no", 1, 0.0])
def test_a_text_does_not_say_whether_images_are_wrapped(wrapped):
    with pytest.raises(GlasslibError, match="wrapped must be True or False"):
        Trajectory.from_ase([sample(3).atoms(k) for k in range(3)], np.arange(3.0), wrapped=wrapped)


def test_a_dump_with_wrapped_columns_may_be_said_to_be_unwrapped(tmp_path):
    positions = walk(5)
    columns = "id element x y z"
    write_dump(tmp_path / "a.dump", columns, lambda a, s, i: a, positions)
    found = read(tmp_path / "a.dump", timestep=1.0, wrapped=False).positions
    assert np.allclose(found, positions, atol=1e-7)
    write_dump(tmp_path / "b.dump", "id element xu yu zu", lambda a, s, i: a, positions)
    with pytest.raises(GlasslibError, match="b.dump says itself"):
        read(tmp_path / "b.dump", timestep=1.0, wrapped=True)


def test_lammps_atoms_that_nothing_tells_apart_are_refused(tmp_path):
    head = "ITEM: TIMESTEP\n{}\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\nITEM: ATOMS element x y z\n"
    (tmp_path / "one.dump").write_text(head.format(0) + "O 1 1 1\nO 4 4 4\n")
    assert np.allclose(read(tmp_path / "one.dump").positions, [[[1, 1, 1], [4, 4, 4]]])
    (tmp_path / "two.dump").write_text(head.format(0) + "O 1 1 1\nO 3 3 3\n" + head.format(10) + "O 3 3 3\nO 1 1 1\n")
    with pytest.raises(GlasslibError, match="two.dump has no column id.*: dump all atoms with their id, or sort by id"):
        read(tmp_path / "two.dump", timestep=1.0)
    write_dump(tmp_path / "a.dump", "id element xu yu zu", LAMMPS_COLUMNS["id element xu yu zu"], walk(2))
    first, last = (tmp_path / "a.dump").read_text().rsplit("\n1 O ", 1)
    (tmp_path / "a.dump").write_text(f"{first}\n77 O {last}")
    with pytest.raises(GlasslibError, match="frame 1 has other atoms"):
        read(tmp_path / "a.dump", timestep=1.0)


@pytest.mark.parametrize("option", ["interval", "timestep"])
@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf, "1"])
def test_times_between_frames_are_positive_numbers(tmp_path, option, value):
    with pytest.raises(GlasslibError, match=f"{option} must be a number above zero"):
        read(tmp_path / "a.dump", **{option: value})


def test_unknown_files_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "a.xyz").write_text("3\n\nO 0 0")
    for name in ("a.txt", "a.xyz", "none.h5"):
        with pytest.raises(GlasslibError, match=name):
            read(tmp_path / name)
    with pytest.raises(GlasslibError, match="a.txt is neither H5MD, a LAMMPS"):
        read(tmp_path / "a.txt", timestep=1.0)  # rather than that this means nothing for it


def typed(path, masses=None):
    """H5MD of a program that numbers its species by type."""
    trajectory = sample(5)
    kinds = sorted(set(trajectory.species.tolist()))
    trajectory.save(path)
    with h5py.File(path, "r+") as file:
        group = file["particles/trajectory"]
        types = np.array([kinds.index(s) + 1 for s in trajectory.species])
        del group["species"]
        group.pop("mass", None)
        group["species"] = types
        if masses is not None:
            group["mass"] = masses
    return trajectory, kinds


def test_species_by_type_are_not_taken_for_atomic_numbers(tmp_path):
    trajectory, kinds = typed(tmp_path / "a.h5")
    with pytest.raises(GlasslibError, match="pass species"):
        read(tmp_path / "a.h5")
    assert read(tmp_path / "a.h5", species=kinds).species.tolist() == trajectory.species.tolist()
    typed(tmp_path / "b.h5", masses=trajectory.masses)
    with pytest.raises(GlasslibError, match="pass species"):
        read(tmp_path / "b.h5")
    with pytest.raises(GlasslibError, match="one for each type"):
        read(tmp_path / "a.h5", species=kinds[:1])


def written_by_mdanalysis(path, positions):
    """A file of MDAnalysis's own writer: no species, units in attributes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mda = pytest.importorskip("MDAnalysis")
        universe = mda.Universe.empty(len(SPECIES), trajectory=True)
        universe.load_new(positions.astype("f4"), dimensions=np.array([90, 90, 90, 90, 90, 90.0]), dt=0.5)
        with mda.Writer(str(path), len(SPECIES), lengthunit="Angstrom", timeunit="ps") as writer:
            for _ in universe.trajectory:
                writer.write(universe)


def test_a_file_of_mdanalysis_is_read_with_one_symbol_for_each_atom(tmp_path):
    written_by_mdanalysis(tmp_path / "a.h5md", walk(8))
    opened = read(tmp_path / "a.h5md", species=SPECIES)
    assert opened.species.tolist() == SPECIES and np.allclose(opened.time, 0.5 * np.arange(8))
    assert np.allclose(np.asarray(opened.positions), walk(8), atol=1e-4) and np.allclose(opened.cell, 90 * np.eye(3))
    for given in (None, ["O", "Na", "Si"]):
        with pytest.raises(GlasslibError, match="species is missing: pass species, the symbols of all 12 atoms"):
            read(tmp_path / "a.h5md", species=given)


def test_species_stored_frame_by_frame_are_read_where_they_stay_the_same(tmp_path):
    sample(5).save(tmp_path / "a.h5")
    numbers = np.tile([8] * 6 + [11] * 4 + [14] * 2, (5, 1))
    changed = numbers.copy()
    changed[4, 0] = 14
    for values in (numbers, numbers[:1], changed):
        with h5py.File(tmp_path / "a.h5", "r+") as file:
            del file["particles/trajectory/species"]
            file["particles/trajectory/species/value"] = values
        if values is changed:
            with pytest.raises(GlasslibError, match="species/value changes between frames"):
                read(tmp_path / "a.h5")
        else:
            assert read(tmp_path / "a.h5").species.tolist() == SPECIES


def test_options_without_meaning_for_a_file_are_refused(tmp_path):
    trajectory = sample(5)
    trajectory.save(tmp_path / "a.h5")
    images = [trajectory.atoms(k) for k in range(5)]
    ase.io.write(tmp_path / "a.extxyz", images)
    for name, options in (
        ("a.h5", {"interval": 0.1}),
        ("a.h5", {"timestep": 1.0}),
        ("a.h5", {"species": ["Na"]}),
        ("a.extxyz", {"interval": 0.1, "species": ["Na"]}),
        ("a.extxyz", {"interval": 0.1, "timestep": 1.0}),
    ):
        with pytest.raises(GlasslibError, match="leave"):
            read(tmp_path / name, **options)


def test_types_given_by_the_reader_win_over_the_elements_of_a_dump(tmp_path):
    head = "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\nITEM: ATOMS id type element xu yu zu\n"
    (tmp_path / "a.dump").write_text(head + "1 1 C 1 1 1\n2 2 C 4 4 4\n")
    assert read(tmp_path / "a.dump", species="Na,O").species.tolist() == ["Na", "O"]
    (tmp_path / "b.dump").write_text(
        head.replace("type element", "type").replace("\n2\n", "\n2\n") + "1 Na 1 1 1\n2 O 4 4 4\n"
    )
    assert read(tmp_path / "b.dump").species.tolist() == ["Na", "O"]
    with pytest.raises(GlasslibError, match="b.dump: types are labelled .* leave species out"):
        read(tmp_path / "b.dump", species="Na,O")
    with pytest.raises(GlasslibError, match="chemical symbols"):
        read(tmp_path / "a.dump", species=["Na", "Xx"])


def test_a_file_of_another_format_names_the_way_to_open_it(tmp_path):
    (tmp_path / "a.dump").write_text("ITEM: TIMESTEP\n0\n")
    with pytest.raises(GlasslibError, match="glasslib.trajectory.read"):
        Trajectory.open(tmp_path / "a.dump")
