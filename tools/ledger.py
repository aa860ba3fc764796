"""Write book/ledger.md: every claim of the study notes, its verdict, and the cells that show it.

    python -m tools.ledger

The claims are in book/claims.yml; which cell shows which claim stands in the cell's metadata.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tools import notebooks
from tools.errors import CourseError, run_tool

CLAIMS = notebooks.ROOT / "book" / "claims.yml"
LEDGER = notebooks.ROOT / "book" / "ledger.md"
VERDICTS = {"holds": "Holds", "loose": "Loose", "wrong": "Wrong", "question": "A question"}
HEAD = """\
# The claims ledger

The course grew from five sets of study notes. This page lists what they say, claim by claim, and
where a lesson puts the claim to the test. A **wrong** or **loose** claim comes with what is right.
Each link leads to the cell that computes it, and `make test` runs every one of them.

"""
FOOT = """\
The sources are five sets of Korean study notes: S0 "neural networks for images", S1 "CNN, RNN and
LSTM", S2 "deep learning for computer vision", S3 "TensorFlow: CNN, ReLU and dropout", and S4
"visual intelligence: a review of deep learning, and CNNs".
"""


def read_claims(file: Path = CLAIMS) -> dict[str, dict[str, Any]]:
    """Return the claims by id, in order: lesson, text, verdict and (if it does not hold) right.

    Raises CourseError if the file cannot be read or an entry is not complete.
    """
    try:
        lessons = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise CourseError(f"reading {file}: {error}") from error
    claims: dict[str, dict[str, Any]] = {}
    for lesson, entries in lessons.items():
        for name, entry in entries.items():
            if name in claims:
                raise CourseError(f"reading {file}: claim {name} stands there twice")
            verdict = entry.get("verdict")
            if verdict not in VERDICTS or (verdict != "holds") != ("right" in entry):
                raise CourseError(
                    f"reading {file}: claim {name} has verdict {verdict!r}; it needs one of "
                    f"{', '.join(VERDICTS)}, and `right` exactly where it does not hold"
                )
            claims[name] = {"lesson": lesson} | entry
    return claims


def shown_in() -> dict[str, list[tuple[str, str, str]]]:
    """Return for each claim id the cells that carry it: (lesson stem, cell id, heading above)."""
    places: dict[str, list[tuple[str, str, str]]] = {}
    for path in notebooks.lessons():
        heading = ""
        for cell in notebooks.read(path).cells:
            if cell.cell_type == "markdown":
                titles = [line for line in cell.source.splitlines() if line.startswith("#")]
                heading = titles[-1].lstrip("# ") if titles else heading
            for claim in cell.metadata.get("claims", []):
                places.setdefault(claim, []).append((path.stem, cell.id, heading))
    return places


def title_of(stem: str) -> str:
    """Return the title of a lesson: ``Lesson 01: Convolution by hand``."""
    first = notebooks.read(notebooks.ROOT / "notebooks" / f"{stem}.ipynb").cells[0].source
    return str(first.splitlines()[0].lstrip("# "))


def ledger() -> str:
    """Return the text of the page.

    Raises CourseError if a claim has no cell, or a cell carries an unknown claim.
    """
    claims, places = read_claims(), shown_in()
    unknown, homeless = sorted(places.keys() - claims), sorted(claims.keys() - places)
    if unknown or homeless:
        raise CourseError(
            f"writing {LEDGER}: cells carry claims that {CLAIMS.name} does not know: {unknown}; "
            f"claims that no cell carries: {homeless}. Add the missing side."
        )
    text, lesson = HEAD, ""
    for name, claim in claims.items():
        if claim["lesson"] != lesson:
            lesson = claim["lesson"]
            text += f"## {title_of(lesson)}\n\n"
        links, above = [], ""
        for stem, cell, heading in places[name]:
            label = "again" if heading == above else heading
            links.append(f"[{label}](../notebooks/{stem}.ipynb#{cell})")
            above = heading
        shown = ", ".join(links)
        text += f"**{name}** {claim['text'].strip()}\n: **{VERDICTS[claim['verdict']]}.**"
        text += f" {claim['right'].strip()}" if "right" in claim else ""
        text += f" Shown in: {shown}.\n\n"
    return text + FOOT


def main() -> None:
    """Command line of this module."""
    text = ledger()
    if not LEDGER.is_file() or LEDGER.read_text(encoding="utf-8") != text:
        LEDGER.write_text(text, encoding="utf-8")  # an untouched page is not built again
    print(f"{LEDGER.relative_to(notebooks.ROOT)}: {len(read_claims())} claims")


if __name__ == "__main__":
    run_tool(main)
