"""Print the built website into one file, _build/convolution_by_hand.pdf, in the book's order.

    python -m tools.pdf

Needs Chromium and a built book (make book). Each page is printed with the site's print style;
the file has an outline, and the number on a page counts within its lesson.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import yaml
from playwright.sync_api import Browser
from pypdf import PdfReader, PdfWriter

from tools.browser import chromium
from tools.errors import run_tool
from tools.notebooks import ROOT
from tools.serve import HTML, serving

OUT = ROOT / "_build" / "convolution_by_hand.pdf"
FOOTER = """<div style="font-size: 8px; width: 100%; text-align: center">
<span class="title"></span>, <span class="pageNumber"></span></div>"""
# A link to another page would lead to the server that printed it.
UNLINK = """document.querySelectorAll('a[href]').forEach((a) => {
  if (a.origin === location.origin && a.pathname !== location.pathname) a.removeAttribute('href');
})"""
SHOW = """document.querySelectorAll('img').forEach((image) => { image.loading = 'eager'; });
document.querySelectorAll('details').forEach((details) => { details.open = true; });"""


def _below(entries: list[dict[str, Any]], depth: int) -> Iterator[tuple[str, int]]:
    """Yield the pages of a part of the table of contents, and those below them."""
    for entry in entries:
        yield entry["file"], depth
        yield from _below(entry.get("sections", []), depth + 1)


def pages() -> Iterator[tuple[str, int]]:
    """Yield the pages in the order of _toc.yml, each with its depth in the outline."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    yield toc["root"], 0
    for part in toc["parts"]:
        yield from _below(part["chapters"], 0)


def print_page(browser: Browser, address: str) -> tuple[str, bytes]:
    """Return the title of a page and its PDF."""
    page = browser.new_page(color_scheme="light")
    page.goto(address)
    page.evaluate(SHOW)
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    page.evaluate(UNLINK)
    title = page.title().split(" - ")[0]
    page.evaluate("title => { document.title = title; }", title)
    pdf = page.pdf(
        format="A4",
        scale=0.75,
        margin={"top": "15mm", "bottom": "18mm", "left": "15mm", "right": "15mm"},
        print_background=True,
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=FOOTER,
    )
    page.close()
    return title, pdf


def main() -> None:
    """Command line of this module."""
    writer = PdfWriter()
    parents: dict[int, Any] = {}  # by depth, the latest entry of the outline
    with serving(HTML) as address, chromium() as browser:
        for name, depth in pages():
            title, pdf = print_page(browser, f"{address}/{name}.html")
            first = len(writer.pages)
            writer.append(PdfReader(io.BytesIO(pdf)), import_outline=False)
            parents[depth] = writer.add_outline_item(
                title=title, page_number=first, parent=parents.get(depth - 1)
            )
    writer.add_metadata({"/Title": "Convolution by Hand"})
    writer.compress_identical_objects()
    writer.write(OUT)
    print(f"{OUT.relative_to(ROOT)}: {len(writer.pages)} pages, {OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    run_tool(main)
