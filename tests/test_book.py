"""The book's sources hang together, and its check finds what it is there to find."""

import json
import re

import pytest
import yaml
from check_book import ROOT, documents, problems

BOOK = ROOT / "book"
TOC = yaml.safe_load((BOOK / "_toc.yml").read_text())
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())


def source(name):
    """Markdown of a page or of a notebook's prose."""
    if name.startswith("notebooks/"):
        cells = json.loads((ROOT / f"{name}.ipynb").read_text())["cells"]
        return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return (BOOK / f"{name}.md").read_text()


@pytest.mark.parametrize("name", documents(TOC))
def test_every_page_of_the_contents_has_a_source_with_one_title(name):
    text = re.sub(r"```.*?```", "", source(name), flags=re.S)
    assert len(re.findall(r"^# ", text, re.M)) == 1


def test_every_source_is_in_the_contents():
    listed = set(documents(TOC))
    pages = {path.relative_to(BOOK).with_suffix("").as_posix() for path in BOOK.rglob("*.md")}
    notebooks = {f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert pages | notebooks == listed


def test_every_citation_is_in_the_bibliography_and_every_entry_is_cited():
    cited = set()
    for name in documents(TOC):
        for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", source(name)):
            cited |= {key.strip() for key in keys.split(",")}
    known = re.findall(r"^@\w+\{([^,]+),", (BOOK / "references.bib").read_text(), re.M)
    assert len(known) == len(set(known))
    assert cited == set(known)


def test_links_between_pages_lead_somewhere():
    for name in documents(TOC):
        folder = (BOOK / name).parent
        for target in re.findall(r"\]\(([^)#:]+\.(?:md|ipynb))\)", source(name)):
            place = (folder / target).resolve().relative_to(BOOK.resolve()).with_suffix("").as_posix()
            assert place in documents(TOC), f"{name} links to {target}"
        for target in re.findall(r"\{doc\}`(?:[^`<]*<)?([^`>]+)>?`", source(name)):
            place = (folder / target).resolve().relative_to(BOOK.resolve()).as_posix()
            assert place in documents(TOC), f"{name} links to {target}"


def test_no_source_loads_anything_from_the_network():
    texts = [source(name) for name in documents(TOC)]
    texts += [
        path.read_text() for path in (*BOOK.glob("_static/*"), *BOOK.glob("_extensions/*.py"), ROOT / "_config.yml")
    ]
    texts.append((ROOT / "glasslib" / "viewer.html").read_text())
    for text in texts:
        assert not re.search(r"(src|href)=[\"']?(https?:)?//|@import|cdn\.|unpkg|require\(\[", text)


def test_the_book_does_not_execute_notebooks_itself():
    assert CONFIG["execute"]["execute_notebooks"] == "off"


@pytest.fixture
def site(tmp_path):
    """A whole book of two pages."""
    page = '<script src="mathjax.js"></script><img src="_images/a.png"><p>content hash abc</p><div class="math">x</div>'
    (tmp_path / "_images").mkdir()
    (tmp_path / "notebooks/_images").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "notebooks"):
        (folder / "_images/a.png").write_bytes(b"png")
        (folder / "mathjax.js").write_text("")
    (tmp_path / "index.html").write_text(page)
    (tmp_path / "notebooks/01.html").write_text(page)
    return tmp_path


CONTENTS = {"root": "index", "parts": [{"chapters": [{"file": "notebooks/01"}]}]}


def test_the_check_passes_a_whole_book(site):
    assert problems(site, CONTENTS) == []


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ('<img src="_images/a.png">', "", "no figure"),
        ("_images/a.png", "_images/b.png", "is missing"),
        ("content hash", "hash", "no signed figure"),
        ("<p>", "<p>Traceback (most recent call last)", "raised"),
        ('src="mathjax.js"', 'src="https://cdn.example/mathjax.js"', "network"),
        ('<script src="mathjax.js"></script>', "", "without MathJax"),
    ],
)
def test_the_check_names_what_is_wrong(site, before, after, what):
    path = site / "notebooks/01.html"
    path.write_text(path.read_text().replace(before, after))
    found = problems(site, CONTENTS)
    assert found and all(line.startswith("notebooks/01: ") for line in found)
    assert any(what in line for line in found)


def test_the_check_names_a_missing_page(site):
    (site / "notebooks/01.html").unlink()
    assert problems(site, CONTENTS) == ["notebooks/01: the page is missing"]
