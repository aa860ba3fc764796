"""Pages as they are written: what a page does not use is left out, and a notebook gets a header."""

from __future__ import annotations

import html
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import imagesize
from sphinx.application import Sphinx
from sphinx.builders._epub_base import MEDIA_TYPES
from sphinx.errors import ExtensionError

COLAB_LIST = '<div class="course-colab"></div>'  # a page's place for links to all lessons
FITS = 80  # letters of code that the text column holds on a wide screen
COLAB = "https://colab.research.google.com/github/"
# Scripts and styles that only some pages use, and what (as a pattern) those pages contain.
PLAYGROUND = r'class="playground"|/playground\.html#'
ONLY_WITH = {
    "clipboard.min.js": 'class="highlight',
    "copybutton.js": 'class="highlight',
    "copybutton.css": 'class="highlight',
    "sphinx_highlight.js": 'id="search-results"',
    "doctools.js": 'id="search-results"',
    "search_offline.js": 'id="search-results"',
    "dom.js": rf'{PLAYGROUND}|id="network"',
    "convolution.js": PLAYGROUND,
    "playground.js": PLAYGROUND,
    "network_data.js": 'id="network"',
    "network.js": 'id="network"',
}


def used(file: str, body: str) -> bool:
    """Return whether a page with this body needs the script or style called ``file``."""
    pattern = ONLY_WITH.get(file.split("?")[0].rsplit("/", 1)[-1])
    return pattern is None or re.search(pattern, body) is not None


def with_sizes(body: str, sources: dict[str, str]) -> str:
    """Return ``body`` with width, height and lazy loading on each figure.

    ``sources`` gives the file behind each name in ``_images/``. With its size known, a figure
    that comes late does not push the text away.
    """

    def add(found: re.Match[str]) -> str:
        width, height = imagesize.get(sources[found[2]])
        size = f'width="{width}" height="{height}" loading="lazy" decoding="async"'
        return f'<img {size} {found[1]}_images/{found[2]}"'

    return re.sub(r'<img ((?:[^>]*? )?src="[^"]*?)_images/([^"]+)"', add, body)


def reachable_code(body: str) -> str:
    """Return ``body`` with long lines of code in boxes that the keyboard can reach and scroll."""

    def add(found: re.Match[str]) -> str:
        text = html.unescape(re.sub(r"<[^>]+>", "", found[2]))
        wide = max(map(len, text.split("\n"))) > FITS
        return f'<pre tabindex="0"{found[1]}>{found[2]}</pre>' if wide else found[0]

    return re.sub(r"<pre(?![^>]*tabindex)([^>]*)>(.*?)</pre>", add, body, flags=re.S)


@cache
def verified(source: Path) -> dict[str, dict[str, Any]]:
    """Return what ``make run`` wrote down of each lesson: date, seconds and versions."""
    file = source / "data" / "verified.json"
    try:
        runs: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExtensionError(f"reading {file}: {error}. Write it with: make run") from error
    return runs


def colab_list(titles: dict[str, Any], repository: str) -> str:
    """Return a list that opens each lesson on Colab; "" where the repository is not known."""
    if not repository:
        return ""
    place = COLAB + repository.removeprefix("https://github.com/")
    items = [
        f'<li><a href="{place}/{name}.ipynb">{html.escape(title.astext())}</a></li>'
        for name, title in sorted(titles.items())
        if name.startswith("notebooks/")
    ]
    return f"<ul>{''.join(items)}</ul>"


def header(pagename: str, repository: str, root: str, run: dict[str, Any] | None) -> str:
    """Return the line below the title of a notebook: Colab, the file, and when it last ran.

    ``repository`` is the address of the repository's files, or "" if it has none; ``root`` leads
    from the page to the top of the site.
    """
    parts = []
    if repository:
        place = repository.removeprefix("https://github.com/")
        parts.append(
            f'<a class="course-button" href="{COLAB}{place}/{pagename}.ipynb">Open in Colab</a>'
        )
    file = f"{root}_sources/{pagename}.ipynb"
    parts.append(f'<a class="course-button" href="{file}" download>Download notebook</a>')
    if run:
        versions = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
        seconds = (
            f"{run['seconds']:.0f} s" if run["seconds"] < 100 else f"{run['seconds'] / 60:.0f} min"
        )
        parts.append(
            f'<span class="course-verified">Last verified <time>{run["date"]}</time>: '
            f"{html.escape(versions)}; {seconds} on {run['cores']} CPU cores</span>"
        )
    return f'<p class="course-header">{" ".join(parts)}</p>'


def mended(body: str) -> str:
    """Return ``body`` without the roles of docutils that browsers and e-readers refuse."""
    for wrong, right in (
        ('role="heading"', 'role="heading" aria-level="2"'),  # a caption, of no level
        ('<div role="list" class="citation-list">', '<div class="citation-list">'),
        (' role="doc-biblioentry"', ""),
    ):
        body = body.replace(wrong, right)
    return body


def keep_what_is_used(app: Sphinx, context: dict[str, Any], body: str) -> None:
    """Take from a page the scripts and styles that it has no use for."""
    for kind in ("css_files", "script_files"):
        context[kind] = [f for f in context[kind] if used(str(getattr(f, "filename", f)), body)]
    if app.builder.name == "epub":  # no scripts; and MyST-NB copies its style to websites only
        context["script_files"] = []
        context["css_files"] = [f for f in context["css_files"] if "mystnb" not in str(f.filename)]


def finished_body(app: Sphinx, pagename: str, body: str, root: str) -> str:
    """Return the text of a page as it is written; ``root`` leads to the top of the site."""
    repository = app.config.course_repository
    sources = {name: str(Path(app.srcdir, path)) for path, name in app.builder.images.items()}
    body = mended(reachable_code(with_sizes(body, sources)))
    body = body.replace(COLAB_LIST, colab_list(app.env.titles, repository))
    if app.builder.name == "epub":  # a summary may hold words, and no paragraphs
        titles = r'<p class="collapsed admonition-title">(.*?)</p>\s*<p class="expanded.*?</p>'
        return re.sub(titles, r"\1", body)
    if pagename.startswith(("notebooks/", "exercises/")):
        run = verified(Path(app.srcdir)).get(pagename.removeprefix("notebooks/"))
        line = header(pagename, repository, root, run)
        body = body.replace("</h1>", f"</h1>\n{line}", 1)
    return body


def finish(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Make one page light, and finish its text."""
    if "css_files" not in context:  # not an HTML page
        return
    body = context.get("body") or ""
    keep_what_is_used(app, context, 'id="search-results"' if pagename == "search" else body)
    if "furo_navigation_tree" in context:
        context["furo_navigation_tree"] = mended(context["furo_navigation_tree"])
    if body:
        context["body"] = finished_body(app, pagename, body, context["content_root"])


def setup(app: Sphinx) -> None:
    """Register with Sphinx, after the themes and extensions have added their files."""
    app.connect("html-page-context", finish, priority=900)
    MEDIA_TYPES[".woff2"] = "font/woff2"  # so that an e-book gets the font of the formulas
