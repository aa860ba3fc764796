"""Build the course as an e-book, _build/convolution_by_hand.epub.

    python -m tools.epub

Sphinx writes the book. It does not declare which pages hold MathML, as EPUB 3 asks, so that is
added here.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

from tools.errors import CourseError, run_tool
from tools.notebooks import ROOT

BUILT = ROOT / "_build" / "epub" / "convolution_by_hand.epub"
OUT = ROOT / "_build" / BUILT.name


def build() -> Path:
    """Let Jupyter Book build the e-book; return its file.

    Raises:
        CourseError: the build failed or warned.
    """
    command = [
        str(Path(sys.executable).with_name("jupyter-book")),
        "build",
        ".",
        "--all",
        "-W",
        "-n",
    ]
    done = subprocess.run([*command, "--builder", "custom", "--custom-builder", "epub"], cwd=ROOT)
    if done.returncode:
        raise CourseError("building the e-book: Jupyter Book failed. See its messages above.")
    return BUILT


def declare_mathml(source: Path, target: Path) -> int:
    """Copy an e-book, declaring in its manifest the pages with formulas; return their number."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        pages = {n for n in old.namelist() if n.endswith(".xhtml") and b"<math" in old.read(n)}
        for entry in old.infolist():  # in the old order: the first one tells what the file is
            data = old.read(entry)
            if entry.filename == "content.opf":
                data = re.sub(
                    r'(<item [^>]*href="([^"]+)"[^>]*?) ?/>',
                    lambda item: (
                        f'{item[1]} properties="mathml"/>' if item[2] in pages else item[0]
                    ),
                    data.decode(),
                ).encode()
            new.writestr(entry, data)
    return len(pages)


def main() -> None:
    """Command line of this module."""
    pages = declare_mathml(build(), OUT)
    print(f"{OUT.relative_to(ROOT)}: {OUT.stat().st_size:,} bytes, {pages} pages with formulas")


if __name__ == "__main__":
    run_tool(main)
