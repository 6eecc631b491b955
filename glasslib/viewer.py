"""A melt that can be turned in the browser, as one piece of HTML that needs no network and no other file."""

import hashlib
import html
import json
from pathlib import Path

import numpy as np

from .errors import GlasslibError

PAGE = Path(__file__).with_suffix(".html")
RADII = {"Si": 0.45, "O": 0.6, "Na": 0.8}  # Å, as drawn: small enough to look between the atoms
COLOURS = [[33, 45, 84], [49, 110, 142], [160, 190, 165], [238, 196, 100], [214, 84, 46]]  # slow to fast


def view(atoms, values, label, limits=None, title="atoms in a periodic cell", height=420):
    """Atoms coloured by a value, in a canvas that turns by dragging and zooms by double-clicking.

    Parameters
    ----------
    atoms : ase.Atoms
        In an orthorhombic cell.
    values : array [atoms]
        What the colours show.
    label : str
        Of the colour scale, with its unit.
    limits : pair of float, optional
        Values of the first and the last colour; default: the 2nd and 98th percentile.
    title : str
        For readers that do not see the picture.
    height : int
        Pixels.

    Returns
    -------
    IPython.display.HTML
    """
    from IPython.display import HTML

    values = np.asarray(values, float)
    if values.shape != (len(atoms),) or not np.isfinite(values).all():
        raise GlasslibError(
            f"the view needs one finite value for each of the {len(atoms)} atoms, not an array of shape {values.shape}"
        )
    if not np.allclose(atoms.cell.array, np.diag(atoms.cell.lengths())):
        raise GlasslibError("the view draws orthorhombic cells only")
    low, high = np.percentile(values, [2, 98]) if limits is None else limits
    data = {
        "species": atoms.get_chemical_symbols(),
        "positions": np.round(atoms.get_positions(wrap=True), 2).tolist(),
        "cell": np.round(atoms.cell.lengths(), 3).tolist(),
        "value": np.round(np.clip((values - low) / max(high - low, 1e-12), 0, 1), 3).tolist(),
        "radii": {s: RADII.get(s, 0.6) for s in sorted(set(atoms.get_chemical_symbols()))},
        "colours": COLOURS,
        "low": f"{low:.2g}",
        "high": f"{high:.2g}",
        "label": label,
    }
    text = json.dumps(data, separators=(",", ":"))
    name = "melt-" + hashlib.sha256((text + title).encode()).hexdigest()[:10]
    page = (
        PAGE.read_text()
        .replace("@ID@", name)
        .replace("@HEIGHT@", str(int(height)))
        .replace("@TITLE@", html.escape(title))
    )
    return HTML(page.replace("@DATA@", text.replace("</", "<\\/")))
