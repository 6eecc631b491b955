"""Check rendered pages: `python tests/check_book.py _build/html` names every page that is missing, empty of figures, broken or not local.

Run on a finished build, not by pytest.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
NEEDS_FIGURE = "notebooks/"  # pages below this folder, and the front page


class Page(HTMLParser):
    """Images, canvases, scripts and style sheets of a page, and the errors shown on it."""

    def __init__(self, path):
        super().__init__()
        self.images, self.canvases, self.fetched, self.classes = [], 0, [], set()
        self.text = path.read_text()
        self.feed(self.text)

    def handle_starttag(self, tag, attributes):
        """Note what the page loads."""
        values = {name: value or "" for name, value in attributes}
        self.classes |= set(values.get("class", "").split())
        if tag == "img":
            self.images.append(values.get("src", ""))
        elif tag == "canvas":
            self.canvases += 1
        if tag in ("script", "img", "iframe") and values.get("src"):
            self.fetched.append(values["src"])
        elif tag == "link" and "stylesheet" in values.get("rel", ""):
            self.fetched.append(values.get("href", ""))


def documents(toc):
    """Names of all pages in a table of contents, in order."""
    found = [toc["root"]]
    waiting = list(toc.get("parts", [])) + list(toc.get("chapters", []))
    while waiting:
        entry = waiting.pop(0)
        if "file" in entry:
            found.append(entry["file"])
        waiting = list(entry.get("chapters", [])) + list(entry.get("sections", [])) + waiting
    return found


def problems(html, toc):
    """What is wrong with the pages in the folder `html`, one line each."""
    found = []
    for name in documents(toc):
        path = html / f"{name}.html"
        if not path.is_file():
            found.append(f"{name}: the page is missing")
            continue
        page = Page(path)
        drawn = page.canvases + sum(
            source.startswith("data:image/png") or "_images/" in source for source in page.images
        )
        if (name.startswith(NEEDS_FIGURE) or name == toc["root"]) and not drawn:
            found.append(f"{name}: no figure")
        if name.startswith(NEEDS_FIGURE) and "content hash" not in page.text:
            found.append(f"{name}: no signed figure")
        if re.search(r"Traceback \(most recent call last\)|class=\"[^\"]*\btraceback\b", page.text):
            found.append(f"{name}: a cell raised an error")
        for source in page.fetched:
            if re.match(r"(https?:)?//", source):
                found.append(f"{name}: loads {source} from the network")
            elif not source.startswith("data:") and not (path.parent / source.split("?")[0].split("#")[0]).is_file():
                found.append(f"{name}: {source} is missing")
        if "math" in page.classes and not any("mathjax" in source for source in page.fetched):
            found.append(f"{name}: equations without MathJax")
    return found


def main(html):
    """Print the problems and say by the exit code whether there are any."""
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    found = problems(Path(html), toc)
    print("\n".join(found) or f"{len(documents(toc))} pages are complete")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
