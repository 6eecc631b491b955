"""Pages that work from a folder without network: MathJax beside them, and no script that would fetch anything."""

from importlib.util import find_spec
from pathlib import Path

from sphinx.util.fileutil import copy_asset

# One file with its glyphs inside: browsers refuse fonts of pages opened from a folder.
SCRIPT = "tex-svg.js"


def copy_mathjax(app):
    """Copy the one script from the package that carries MathJax."""
    package = Path(next(iter(find_spec("sphinx-mathjax-offline").submodule_search_locations)))
    copy_asset(str(package / "static" / "mathjax" / SCRIPT), str(Path(app.outdir) / "_static" / "mathjax"))


def drop_thebe(app, page, template, context, doctree):
    """Jupyter Book loads a launcher of remote kernels on every page, asked for or not."""
    scripts = context.get("script_files", [])
    context["script_files"] = [
        s for s in scripts if "thebe" not in str(s) and "THEBE" not in str(getattr(s, "attributes", ""))
    ]


def setup(app):
    """Entry point of Sphinx."""
    app.connect("builder-inited", copy_mathjax)
    app.connect("html-page-context", drop_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
