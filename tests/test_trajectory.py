"""Trajectories: what is written is what is read, in other programs too, and damaged files are named."""

import warnings

import ase.io
import h5py
import numpy as np
import pytest
from ase import Atoms

from glasslib import GlasslibError
from glasslib.trajectory import Trajectory
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
        ({"positions": [[[1, 2, 3]], [[1, 2]]]}, "positions must be an array of numbers"),
        ({"species": None}, "species must be the symbols of 12 atoms, not None"),
        ({"cell": "abc"}, "cell must be an array of numbers, not 'abc'"),
        ({"time": ["a", "b", "c"]}, "time must be an array of numbers"),
        ({"masses": ["heavy"] * 12}, "masses must be an array of numbers"),
        ({"attrs": 5}, "attrs must be a mapping"),
        ({"log": [1.0]}, "log must be a mapping"),
        ({"log": {"time": [0.0, 1.0], "pressure": [1.0]}}, "log: .* time has 2, pressure has 1"),
        ({"log": {"time": 0.0}}, "log: .* time has no"),
        ({"log": {"time": ["a", "b"]}}, "log: time must be numbers"),
        ({"log": {"time": [[0.0], [1.0, 2.0]]}}, "log: time must be an array"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    given = {"positions": walk(3), "species": SPECIES, "cell": CELL, "time": [0.0, 1.0, 2.0]} | change
    with pytest.raises(GlasslibError, match=message):
        Trajectory(**given)


def test_the_end_of_a_run_in_the_log_has_a_shape_of_its_own():
    log = {
        "time": np.arange(3.0),
        "stress": np.zeros((3, 6)),
        "final_time": [2.0],
        "final_positions": np.zeros((12, 3)),
    }
    assert sample(log=log).log["final_positions"].shape == (12, 3)


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


@pytest.mark.parametrize("key", [
    ([0, 2], [1, 0]), ([0, 2], slice(None), 1), (1, [0, 1]), (slice(1, 3), [0, 1]), ([2, 0], 1), (-1, 0, 2), ([0, 1], [0, 1], [0, 2]),
    (np.array([True, False, True, False]), [0, 1]), (..., 0), ([1],),
])  # fmt: skip
def test_positions_on_disk_are_indexed_as_those_in_memory(tmp_path, key):
    run = Trajectory(np.random.default_rng(0).random((4, 3, 3)), ["O"] * 3, np.eye(3) * 8, np.arange(4.0))
    opened = Trajectory.open(run.save(tmp_path / "a.h5"))
    expected = run.positions[key].astype(np.float32)
    assert opened.positions[key].shape == expected.shape and (opened.positions[key] == expected).all()
    with pytest.raises(GlasslibError, match="frames are chosen"):
        opened.positions[[[0, 1]]]
