"""One frame shared by MPI processes."""

import pytest

from glasslib.errors import GlasslibError
from glasslib.reference import gpaw
from glasslib.reference.frames import read_plain, write_plain
from glasslib.reference.labelling import label_queue
from glasslib.reference.sampling import State, melt

pytestmark = pytest.mark.skipif(gpaw.missing() is not None, reason=f"no labels can be computed here: {gpaw.missing()}")


@pytest.fixture
def queue(tmp_path):
    write_plain(tmp_path / "queue.extxyz", [melt(State("SiO2", 2000, 1.0, "pmmcs", 1), 6, melt_ps=0.2, hold_ps=0.2)])
    return tmp_path / "queue.extxyz"


@pytest.mark.skipif(
    gpaw.missing() is not None or not gpaw.scalapack(), reason="this GPAW is compiled without ScaLAPACK"
)
def test_two_ranks_give_the_label_that_one_gives(queue, tmp_path):
    energies = []
    for ranks in (1, 2):
        done = label_queue(queue, tmp_path / str(ranks), ranks=ranks, coarse=True, quiet=True)
        assert len(done["labelled"]) == 1
        frame = read_plain(tmp_path / str(ranks) / f"{done['labelled'][0]}.extxyz")[0]
        energies.append(frame.info["energy"])
    assert energies[0] == pytest.approx(energies[1], abs=1e-2)


def test_ranks_without_scalapack_are_refused_before_anything_starts(queue, tmp_path, monkeypatch):
    monkeypatch.setattr(gpaw, "scalapack", lambda: False)
    with pytest.raises(GlasslibError, match="ScaLAPACK.*workers"):
        label_queue(queue, tmp_path / "out", ranks=2, coarse=True)
    assert not (tmp_path / "out").exists()
