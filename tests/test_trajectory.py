"""Trajectories: what is written is what is read, in other programs too, and damaged files are named."""

import warnings

import ase.io
import h5py
import numpy as np
import pytest
from ase import Atoms

from glasslib import GlasslibError, analysis
from glasslib.trajectory import Trajectory, h5md_reader, read, unwrap, wrapping
from glasslib.trajectory import trajectory as module
from glasslib.trajectory.h5md import Writer

SPECIES = ["O"] * 6 + ["Na"] * 4 + ["Si"] * 2
CELL = np.array([[11.0, 0, 0], [1.5, 10.0, 0], [0.5, -1.0, 12.0]])


def walk(frames=40, seed=0, size=0.3):
    """Unwrapped random walks that leave the cell."""
    rng = np.random.default_rng(seed)
    start = rng.random((len(SPECIES), 3)) @ CELL
    return (
        start
        + np.cumsum(rng.normal(scale=size, size=(frames, len(SPECIES), 3)), axis=0)
        + np.arange(frames)[:, None, None] * 0.4
    )


def sample(frames=40, **options):
    time = np.cumsum(np.random.default_rng(1).uniform(0.01, 2, frames))
    return Trajectory(
        walk(frames),
        SPECIES,
        CELL,
        time,
        step=np.arange(frames) ** 2,
        attrs={"temperature": 3000.0, "ensemble": "NVT"},
        **options,
    )


def wrapped_images(trajectory):
    images = [trajectory.atoms(k, wrap=True) for k in range(len(trajectory))]
    assert any(np.abs(a.positions - p).max() > 5 for a, p in zip(images, trajectory.positions, strict=True))
    return images


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 4e-6), ("float64", 0.0)])
def test_saving_and_opening_returns_everything(tmp_path, dtype, tolerance):
    saved = sample(log={"time": np.arange(5.0), "pressure": np.ones(5)}, masses=np.arange(1.0, 13.0))
    opened = Trajectory.open(saved.save(tmp_path / "a.h5", dtype=dtype))
    assert np.abs(np.asarray(opened.positions) - saved.positions).max() <= tolerance
    for name in ("species", "cell", "time", "step", "masses"):
        assert np.array_equal(getattr(opened, name), getattr(saved, name)), name
    assert opened.attrs == saved.attrs
    assert np.array_equal(opened.log["pressure"], np.ones(5))
    assert opened.ensemble == "NVT" and opened.constant_cell


def test_coordinates_too_large_for_float32_are_kept_in_float64(tmp_path):
    far = Trajectory(walk() + 1e6, SPECIES, CELL, np.arange(40.0))
    assert np.array_equal(np.asarray(Trajectory.open(far.save(tmp_path / "a.h5")).positions), far.positions)


def test_a_changing_cell_is_kept_frame_by_frame(tmp_path):
    cells = CELL * np.linspace(1, 1.1, 40)[:, None, None]
    opened = Trajectory.open(Trajectory(walk(), SPECIES, cells, np.arange(40.0)).save(tmp_path / "a.h5"))
    assert np.array_equal(opened.cell, cells) and opened.ensemble == "NPT"
    assert np.allclose(opened.volume, np.abs(np.linalg.det(cells)))
    assert opened[7:8].constant_cell


@pytest.mark.parametrize(
    "key", [3, -1, slice(5, 30, 4), [3, 9, 2], (slice(2, 8), 4), (5, slice(None), 1), np.arange(40) % 3 == 0]
)
def test_indexing_on_disk_equals_indexing_in_memory(tmp_path, key):
    saved = sample()
    opened = Trajectory.open(saved.save(tmp_path / "a.h5", dtype="float64"))
    assert np.array_equal(opened.positions[key], saved.positions[key])


def test_views_of_species_and_frames_agree_on_disk_and_in_memory(tmp_path):
    saved = sample()
    opened = Trajectory.open(saved.save(tmp_path / "a.h5", dtype="float64"))
    for species in ("Na", ["O", "Si"]):
        expected = saved.positions[4:30:3][:, np.isin(SPECIES, species)]
        for part in (opened[4:30:3].select(species), opened.select(species)[4:30:3], saved.select(species)[4:30:3]):
            assert np.array_equal(np.asarray(part.positions), expected)
            assert np.array_equal(part.time, saved.time[4:30:3]) and np.array_equal(part.step, saved.step[4:30:3])
            assert set(part.species) == set(np.atleast_1d(species))


@pytest.mark.parametrize("size", [None, 1, 7, 100])
def test_blocks_cover_every_frame_once(tmp_path, size):
    opened = Trajectory.open(sample().save(tmp_path / "a.h5", dtype="float64"))
    parts = [(np.arange(40)[part], block) for part, block in opened.blocks(size)]
    assert np.array_equal(np.concatenate([frames for frames, _ in parts]), np.arange(40))
    assert np.array_equal(np.concatenate([block for _, block in parts]), walk())


def test_mdanalysis_reads_the_file(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mda = pytest.importorskip("MDAnalysis")
        saved = sample()
        path = saved.save(tmp_path / "a.h5")
        universe = mda.Universe.empty(len(SPECIES), trajectory=False)
        universe.load_new(str(path), format="H5MD")
    assert universe.trajectory.n_frames == 40
    for frame, time, positions in zip(universe.trajectory, saved.time, saved.positions, strict=True):
        assert frame.time == pytest.approx(time)
        assert np.abs(frame.positions - positions).max() < 1e-5
        assert np.allclose(frame.dimensions, Atoms(cell=CELL).cell.cellpar(), atol=1e-4)


def test_ovito_reads_the_frames(tmp_path):
    """By way of extended XYZ: OVITO 3.17 has no reader of H5MD. It is large and therefore no dependency: `pip install ovito` to run this."""
    reader = pytest.importorskip("ovito.io")
    saved = Trajectory.open(sample().save(tmp_path / "a.h5"))
    images = [saved.atoms(k, wrap=True) for k in range(len(saved))]
    ase.io.write(tmp_path / "a.extxyz", images)
    pipeline = reader.import_file(str(tmp_path / "a.extxyz"))
    assert pipeline.source.num_frames == 40
    for number, image in enumerate(images):
        found = pipeline.compute(number)
        assert np.abs(found.particles.positions - image.positions).max() < 1e-5
        assert np.allclose(found.cell[:3, :3], CELL.T, atol=1e-5) and all(found.cell.pbc)
        types = found.particles.particle_types
        assert [types.type_by_id(k).name for k in types] == SPECIES


def test_the_file_follows_h5md(tmp_path):
    with h5py.File(sample().save(tmp_path / "a.h5")) as file:
        assert file["h5md"].attrs["version"].tolist() == [1, 1]
        assert "name" in file["h5md/author"].attrs and {"name", "version"} <= set(file["h5md/creator"].attrs)
        group = file["particles/trajectory"]
        assert group["box"].attrs["dimension"] == 3 and group["box"].attrs["boundary"].tolist() == [b"periodic"] * 3
        assert group["position/value"].attrs["unit"] == "Angstrom" and group["position/time"].attrs["unit"] == "ps"
        assert group["box/edges/time"] == group["position/time"] and group["box/edges/step"] == group["position/step"]
        assert h5py.check_enum_dtype(group["species"].dtype) == {"O": 8, "Na": 11, "Si": 14}


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


def test_wrapped_ase_images_are_unwrapped_by_the_minimum_image(tmp_path):
    truth = sample()
    images = wrapped_images(truth)
    ase.io.write(tmp_path / "a.extxyz", images)
    ase.io.write(tmp_path / "a.traj", images)
    for trajectory in (
        Trajectory.from_ase(images),
        read(tmp_path / "a.extxyz"),
        read(tmp_path / "a.traj", interval=0.5),
    ):
        moved = trajectory.positions - trajectory.positions[0]
        assert np.allclose(moved, truth.positions - truth.positions[0], atol=1e-6)


WRAPS = {
    "unwrapped": lambda s: s,
    "into [0, L)": lambda s: s % 1.0,
    "into [-L/2, L/2)": lambda s: (s + 0.5) % 1.0 - 0.5,
}


def foreign(path, change=None):
    """Make an H5MD file one of another program."""
    with h5py.File(path, "a") as file:
        file["h5md/creator"].attrs["name"] = np.bytes_("another")
        if change is not None:
            change(file)
    return path


def wrapped_in(kind, cells=CELL, frames=60):
    """A walk whose fractional positions are wrapped."""
    positions = WRAPS[kind](walk(frames) @ np.linalg.inv(CELL)) @ cells
    return Trajectory(positions, SPECIES, cells, np.arange(frames) * 0.5)


@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize("kind", WRAPS)
def test_a_walk_has_one_msd_however_its_positions_are_wrapped(tmp_path, monkeypatch, kind, varying):
    cells = CELL * np.linspace(1, 1.1, 60)[:, None, None] if varying else CELL
    truth, given = wrapped_in("unwrapped", cells), wrapped_in(kind, cells)
    jumps = np.abs(np.diff(given.positions @ np.linalg.inv(given.cells), axis=0)).max() > 0.5
    assert jumps == (kind != "unwrapped")
    ase.io.write(tmp_path / "a.extxyz", [given.atoms(k, wrap=False) for k in range(60)])
    foreign(given.save(tmp_path / "a.h5", dtype="float64"))
    monkeypatch.setattr(module, "BLOCK_BYTES", 12 * 24 * 7)  # blocks of seven frames
    for name in ("a.extxyz", "a.h5"):
        found = read(tmp_path / name)
        moved = np.asarray(found.positions) - truth.positions
        cells_moved = moved @ np.linalg.inv(truth.cells)
        assert np.allclose(cells_moved, np.round(cells_moved[0]), atol=1e-6), name  # whole cells, for ever the same
        part = found[10:50:3].select("Na").positions
        assert np.allclose(np.asarray(part), np.asarray(found.positions)[10:50:3][:, 6:10])
        if not varying:
            msd, exact = (analysis.mean_squared_displacement(run, drift=False).msd for run in (found, truth))
            assert np.allclose(msd, exact, rtol=1e-5) and exact[0, -1] > 1000


def test_what_is_said_to_be_unwrapped_is_kept_as_it_is(tmp_path):
    """Frames of a fast atom may lie further apart than half a cell: in files of glasslib, and where the caller says so."""
    far = Trajectory(walk(60)[::25], SPECIES, CELL, [0.0, 1.0, 2.0])
    assert np.abs(np.diff(far.positions @ np.linalg.inv(CELL), axis=0)).max() > 0.7
    saved = far.save(tmp_path / "a.h5", dtype="float64")
    assert np.array_equal(Trajectory.open(saved).load().positions, far.positions)
    images = [far.atoms(k, wrap=False) for k in range(3)]
    assert np.array_equal(Trajectory.from_ase(images, wrapped=False).positions, far.positions)
    for again in (lambda: Trajectory.from_ase(images), lambda: Trajectory.open(foreign(saved))):
        with pytest.raises(GlasslibError, match="more than a third .* wrapped=False"):
            again()

    def flag(file):
        file["particles/trajectory/image/value"] = np.zeros((3, 12, 3), int)

    assert np.array_equal(Trajectory.open(foreign(saved, flag)).load().positions, far.positions)


def test_a_direction_that_is_not_periodic_is_not_unwrapped(tmp_path):
    positions = np.full((2, 12, 3), 3.0)
    positions[1, 0] = 9.8, 9.8, 3.0
    cube = Trajectory(positions, SPECIES, np.eye(3) * 10, [0.0, 1.0])
    images = [cube.atoms(k, wrap=False) for k in range(2)]
    for image in images:
        image.pbc = True, False, True
    images[0].positions[1] = images[1].positions[1] = -1  # not all inside the cell

    def boundary(file):
        file["particles/trajectory/box"].attrs["boundary"] = np.array([b"periodic", b"none", b"periodic"])

    opened = Trajectory.open(foreign(cube.save(tmp_path / "a.h5"), boundary))
    for found in (Trajectory.from_ase(images, [0.0, 1.0]), opened):
        assert np.allclose(np.asarray(found.positions)[1, 0], [-0.2, 9.8, 3.0])


def test_the_first_doubtful_step_of_a_wrapped_file_is_named_and_memory_is_bounded(tmp_path, monkeypatch):
    given = wrapped_in("into [-L/2, L/2)")
    monkeypatch.setattr(module, "BLOCK_BYTES", 12 * 24 * 7)
    opened = Trajectory.open(foreign(given.save(tmp_path / "a.h5")))
    assert isinstance(opened.positions, h5md_reader.Lazy) and opened.positions._image.dtype == np.int16
    monkeypatch.setattr(wrapping, "MOST_FLAGS", 60 * 12 * 3 - 1)
    with pytest.raises(GlasslibError, match="a.h5: positions are wrapped and too many .* write image flags"):
        Trajectory.open(tmp_path / "a.h5")
    monkeypatch.undo()
    scaled = np.zeros((20, 12, 3))
    scaled[10:, 5, 2], scaled[15:, 0, 0] = 0.4, -0.9  # doubtful, then, some blocks later, the jump that makes it so
    monkeypatch.setattr(module, "BLOCK_BYTES", 12 * 24 * 3)
    for last, refused in ((15, False), (20, True)):
        bad = Trajectory(scaled[:last] @ CELL, SPECIES, CELL, given.time[:last]).save(tmp_path / "b.h5")
        if refused:
            with pytest.raises(GlasslibError, match="b.h5: atom 5 .* frames 9 and 10,"):
                Trajectory.open(foreign(bad))
        else:
            assert Trajectory.open(foreign(bad)).positions._image is None


def test_a_step_that_may_be_a_jump_is_refused():
    fractional = np.zeros((3, 2, 3))
    fractional[2, 1, 0] = 0.4
    with pytest.raises(GlasslibError, match="atom 1 moves by more than a third .* frames 1 and 2"):
        unwrap(fractional)


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positions": np.zeros((3, 12, 2))}, "shape"),
        ({"positions": np.full((3, 12, 3), np.nan)}, "frame 0, atom 0 is not a finite"),
        ({"species": SPECIES[:-1]}, "12 atoms"),
        ({"species": ["Xx"] * 12}, "'Xx' is no chemical symbol"),
        ({"cell": np.eye(2)}, "cell must have the shape"),
        ({"cell": np.zeros((3, 3))}, "volume above zero"),
        ({"time": [0.0, 1.0]}, "3 values"),
        ({"time": [0.0, 1.0, 1.0]}, "strictly increasing"),
        ({"time": [0.0, 1.0, np.inf]}, "finite"),
        ({"step": [0, 1, 1]}, "step"),
        ({"masses": np.zeros(12)}, "masses"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    given = {"positions": walk(3), "species": SPECIES, "cell": CELL, "time": [0.0, 1.0, 2.0]} | change
    with pytest.raises(GlasslibError, match=message):
        Trajectory(**given)


def test_truncated_files_are_refused_at_every_length(tmp_path):
    whole = sample().save(tmp_path / "a.h5").read_bytes()
    for length in [0, 7, *range(100, len(whole), len(whole) // 25)]:
        (tmp_path / "b.h5").write_bytes(whole[:length])
        with pytest.raises(GlasslibError) as caught:
            Trajectory.open(tmp_path / "b.h5")
        assert "b.h5" in str(caught.value) and "\n" not in str(caught.value)


def test_flipped_bytes_of_positions_are_noticed(tmp_path):
    saved = sample()
    whole = saved.save(tmp_path / "a.h5").read_bytes()
    data = np.asarray(saved.positions, np.float32).tobytes()
    start = whole.index(data)
    rng = np.random.default_rng(5)
    for place in rng.integers(start, start + len(data), 40):
        changed = bytearray(whole)
        changed[place] ^= int(rng.integers(1, 256))
        (tmp_path / "b.h5").write_bytes(changed)
        with pytest.raises(GlasslibError, match="damaged"):
            np.asarray(Trajectory.open(tmp_path / "b.h5").positions)


def test_flipped_bytes_anywhere_end_in_a_trajectory_or_a_named_error(tmp_path):
    whole = sample().save(tmp_path / "a.h5").read_bytes()
    rng = np.random.default_rng(6)
    for place in rng.choice(np.flatnonzero(np.frombuffer(whole, np.uint8)), 300):
        changed = bytearray(whole)
        changed[place] ^= int(rng.integers(1, 256))
        (tmp_path / "b.h5").write_bytes(changed)
        try:
            opened = Trajectory.open(tmp_path / "b.h5")
            assert np.asarray(opened.positions).shape == (40, 12, 3)
        except GlasslibError as error:
            assert "\n" not in str(error)


def test_a_file_that_points_outside_itself_is_refused(tmp_path):
    sample().save(tmp_path / "a.h5")
    sample().save(tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5", "a") as file:
        del file["particles/trajectory/position/value"]
        file["particles/trajectory/position/value"] = h5py.ExternalLink(
            str(tmp_path / "a.h5"), "particles/trajectory/position/value"
        )
    with pytest.raises(GlasslibError, match="points to another file"):
        Trajectory.open(tmp_path / "b.h5")


@pytest.mark.parametrize("missing", ["species", "box/edges", "position/time", "position/value"])
def test_missing_parts_are_named(tmp_path, missing):
    sample().save(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file[f"particles/trajectory/{missing}"]
    with pytest.raises(GlasslibError, match=missing):
        Trajectory.open(tmp_path / "a.h5")


def test_a_failed_write_leaves_no_file(tmp_path):
    with pytest.raises(GlasslibError, match="order of time"), Writer(tmp_path / "a.h5", SPECIES) as writer:
        writer.append(walk(2), CELL, [1.0, 2.0])
        writer.append(walk(1), CELL, [1.5])
    with pytest.raises(GlasslibError, match="at least one frame"), Writer(tmp_path / "a.h5", SPECIES):
        pass
    assert list(tmp_path.iterdir()) == []


def test_unknown_files_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "a.xyz").write_text("3\n\nO 0 0")
    for name in ("a.txt", "a.xyz", "none.h5"):
        with pytest.raises(GlasslibError, match=name):
            read(tmp_path / name)


def test_saving_twice_gives_the_same_bytes(tmp_path):
    assert sample().save(tmp_path / "a.h5").read_bytes() == sample().save(tmp_path / "b.h5").read_bytes()


def test_attributes_of_any_length_are_kept_and_what_json_cannot_keep_is_refused(tmp_path):
    kept = {"note": "x" * 200_000, "temperature": np.float32(3000), "origins": np.arange(3)}
    saved = Trajectory(walk(2), SPECIES, CELL, [0.0, 1.0], attrs=kept)
    assert Trajectory.open(saved.save(tmp_path / "a.h5")).attrs == {
        "note": "x" * 200_000,
        "temperature": 3000.0,
        "origins": [0, 1, 2],
    }
    with pytest.raises(GlasslibError, match="attrs must be numbers, texts"):
        Trajectory(walk(2), SPECIES, CELL, [0.0, 1.0], attrs={"bad": object()}).save(tmp_path / "b.h5")
    assert not (tmp_path / "b.h5").exists()


@pytest.mark.parametrize("frames", [[], slice(5, 5), [3, 2], [1, 1], 4])
def test_views_need_increasing_frames(frames):
    with pytest.raises(GlasslibError, match="increasing indices"):
        sample()[frames]


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
    with pytest.raises(GlasslibError, match="chemical symbols"):
        read(tmp_path / "a.dump", species=["Na", "Xx"])


def test_a_file_of_another_format_names_the_way_to_open_it(tmp_path):
    (tmp_path / "a.dump").write_text("ITEM: TIMESTEP\n0\n")
    with pytest.raises(GlasslibError, match="glasslib.trajectory.read"):
        Trajectory.open(tmp_path / "a.dump")
