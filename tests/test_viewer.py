"""The turnable melt is one piece of HTML that carries its own data and needs no network."""

import json
import re

import numpy as np
import pytest
from ase import Atoms

from glasslib.errors import GlasslibError
from glasslib.viewer import view


def melt():
    return Atoms("SiONa", [[0, 0, 0], [1.5, 0, 0], [-1, 12, 5]], cell=[8, 9, 10], pbc=True)


def carried(page):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.S)[1])


def test_it_carries_positions_folded_into_the_cell_and_values_between_zero_and_one():
    data = carried(view(melt(), [0.0, 1.0, 5.0], "Å", limits=(0, 2)).data)
    assert data["positions"] == [[0, 0, 0], [1.5, 0, 0], [7, 3, 5]]
    assert data["value"] == [0, 0.5, 1]
    assert data["cell"] == [8, 9, 10]
    assert set(data["radii"]) == {"Si", "O", "Na"}


def test_it_loads_nothing():
    page = view(melt(), [0.0, 1.0, 5.0], "Å").data
    assert not re.search(r"https?://|fetch\(|import |src=|XMLHttp", page)
    assert "@" not in re.sub(r'"[^"]*"', "", page.replace("@media", ""))


def test_a_label_cannot_end_the_script():
    page = view(melt(), [0.0, 1.0, 5.0], "</script><b>").data
    assert page.count("</script>") == 2


def test_two_views_on_a_page_have_different_names():
    names = {re.search(r'id="(melt-\w+)"', view(melt(), v, "Å").data)[1] for v in ([0.0, 1, 2], [0.0, 1, 3])}
    assert len(names) == 2


@pytest.mark.parametrize("values", [[1.0, 2.0], [1.0, np.nan, 2.0]])
def test_values_that_do_not_fit_are_refused(values):
    with pytest.raises(GlasslibError, match="one finite value for each of the 3 atoms"):
        view(melt(), values, "Å")


def test_a_tilted_cell_is_refused():
    atoms = melt()
    atoms.cell = [[8, 0, 0], [3, 9, 0], [0, 0, 10]]
    with pytest.raises(GlasslibError, match="orthorhombic"):
        view(atoms, [1.0, 2.0, 3.0], "Å")
