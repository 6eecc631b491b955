"""Wrapped positions become the walk that they were wrapped from, or are refused."""

import ase.io
import h5py
import numpy as np
import pytest
from ase import Atoms
from test_trajectory import CELL, SPECIES, sample, walk

from glasslib import GlasslibError, analysis
from glasslib.trajectory import Trajectory, h5md_reader, read, unwrap, wrapping
from glasslib.trajectory import trajectory as module


def wrapped_images(trajectory):
    images = [trajectory.atoms(k, wrap=True) for k in range(len(trajectory))]
    assert any(np.abs(a.positions - p).max() > 5 for a, p in zip(images, trajectory.positions, strict=True))
    return images


def test_wrapped_ase_images_are_unwrapped_by_the_minimum_image(tmp_path):
    truth = sample()
    images = wrapped_images(truth)
    ase.io.write(tmp_path / "a.extxyz", images)
    ase.io.write(tmp_path / "a.traj", images)
    for trajectory in (
        Trajectory.from_ase(images),
        read(tmp_path / "a.extxyz"),
        read(tmp_path / "a.traj"),
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
    images[0].positions[1] = images[1].positions[1] = -0.1  # not all inside the cell

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


def reaching():
    """An unwrapped walk over several cells, of which one step, between two frames far apart, is nearly a cell long."""
    rng = np.random.default_rng(3)
    scaled = rng.random((12, 3)) + np.linspace(0, 1, 11)[:, None, None] * rng.normal(0, 1, (12, 3))
    scaled[6:, 4, 0] += 0.95 - (scaled[6, 4, 0] - scaled[5, 4, 0])
    return Trajectory(scaled @ CELL, SPECIES, CELL, np.arange(11.0))


def test_a_jump_in_frames_that_reach_over_more_than_a_cell_needs_the_word_of_the_caller(tmp_path, monkeypatch):
    exact = reaching()
    ase.io.write(tmp_path / "a.extxyz", [exact.atoms(k, wrap=False) for k in range(11)])
    foreign(exact.save(tmp_path / "a.h5", dtype="float64"))
    monkeypatch.setattr(module, "BLOCK_BYTES", 12 * 24 * 3)
    for name in ("a.extxyz", "a.h5"):
        with pytest.raises(GlasslibError, match=f"{name}: atom 4 jumps .* 5 and 6, .* --unwrapped"):
            read(tmp_path / name)
        kept = np.asarray(read(tmp_path / name, wrapped=False).positions)
        assert np.allclose(kept, exact.positions, atol=1e-6)
        folded = np.asarray(read(tmp_path / name, wrapped=True).positions)
        cells = (folded - exact.positions) @ np.linalg.inv(CELL)
        assert np.allclose(cells[:, 4, 0], np.where(np.arange(11) < 6, 0, -1), atol=1e-6)
    with pytest.raises(GlasslibError, match="wrapped must be True or False"):
        read(tmp_path / "a.h5", wrapped="no")


def test_wrapped_atoms_may_stand_a_little_outside_the_cell():
    """LAMMPS folds atoms back only when it builds its neighbour list."""
    truth, given = wrapped_in("unwrapped"), wrapped_in("into [0, L)")
    scaled = given.positions @ np.linalg.inv(CELL)
    before = np.roll(scaled, 1, axis=0)
    late = scaled + ((scaled < 0.03) & (before > 0.9)) - ((scaled > 0.97) & (before < 0.1))  # folded one frame later
    assert 1 < np.ptp(late, axis=1).max() < wrapping.REACH and not np.array_equal(late, scaled)
    images = [Atoms(SPECIES, frame @ CELL, cell=CELL, pbc=True) for frame in late]
    moved = Trajectory.from_ase(images, truth.time).positions - truth.positions
    assert np.allclose(moved, moved[0])


def test_what_a_file_says_of_wrapping_is_not_overruled(tmp_path):
    saved = Trajectory(walk(5), SPECIES, CELL, np.arange(5.0)).save(tmp_path / "a.h5", dtype="float64")
    assert np.array_equal(np.asarray(read(saved, wrapped=False).positions), walk(5))
    with pytest.raises(GlasslibError, match="says itself .*: leave out wrapped"):
        read(saved, wrapped=True)


def test_a_step_that_may_be_a_jump_is_refused():
    fractional = np.zeros((3, 2, 3))
    fractional[2, 1, 0] = 0.4
    with pytest.raises(GlasslibError, match="atom 1 moves by more than a third .* frames 1 and 2"):
        unwrap(fractional)
