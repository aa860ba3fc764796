"""Find the submissions in what an instructor gets: a folder or a zip, flat or one folder a student.

Nothing of a submission is changed or moved. Links are not followed, and what a zip holds is read
into memory, so that no name in it can lead anywhere.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import nbformat

from tools import notebooks
from tools.errors import CourseError
from tools.grading import score

LARGEST = 20 * 2**20  # bytes of a notebook; a student's has 0.1 MB
SIDE_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")


@dataclass
class Submission:
    """One student's notebook for one assignment, or what was handed in for it."""

    student: str
    file: str
    digest: str
    assignment: str = ""
    notebook: Any = None
    status: str = ""
    sentence: str = ""
    notes: list[str] = field(default_factory=list)


def collect(place: Path, assignment: str = "") -> list[Submission]:
    """Return the submissions in ``place``, a folder or a zip file, by student and assignment.

    ``assignment`` is the stem of the exercise; without it each notebook says by its cells which
    one it is. Raises CourseError if there is no such place, or nothing in it.
    """
    if not place.exists():
        raise CourseError(f"collecting submissions: {place} is not there")
    found = [
        _submission(name, content, assignment, depth)
        for name, content, depth in sorted(_files(place))
    ]
    if not found:
        raise CourseError(f"collecting submissions: {place} holds no file")
    names: dict[tuple[str, str], int] = {}
    for submission in found:  # two files of one name stay two submissions
        key = submission.student, submission.assignment
        names[key] = names.get(key, 0) + 1
        if names[key] > 1:
            submission.student += f" ({names[key]})"
            submission.notes.append("another file of the same student and assignment came first")
    return found


def _files(place: Path) -> Iterator[tuple[str, bytes | None, int]]:
    """Yield (name, bytes or None if too large, folders above it) of each file handed in."""
    if place.is_file() and zipfile.is_zipfile(place):
        yield from _packed(place)
        return
    if place.is_file():
        yield place.name, _content(place), 0
        return
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place)
        if path.is_symlink() or not path.is_file() or _beside_the_point(name.parts):
            continue
        if any(parent.is_symlink() for parent in [place / p for p in name.parents][:-1]):
            continue
        if path.suffix == ".zip" and zipfile.is_zipfile(path):
            yield from _packed(path)
        else:
            yield str(name), _content(path), len(name.parts) - 1


def _packed(place: Path) -> Iterator[tuple[str, bytes | None, int]]:
    with zipfile.ZipFile(place) as packed:
        for entry in packed.infolist():
            parts = [p for p in PurePosixPath(entry.filename).parts if p not in ("/", "..", ".")]
            link = entry.external_attr >> 16 & 0o170000 == 0o120000
            if entry.is_dir() or link or not parts or _beside_the_point(tuple(parts)):
                continue
            small = entry.file_size <= LARGEST
            try:
                content = packed.read(entry) if small else None
            except (RuntimeError, zipfile.BadZipFile, EOFError, NotImplementedError):
                content = b""
            yield "/".join(parts), content, len(parts) - 1


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.stat().st_size <= LARGEST else None


def _beside_the_point(parts: tuple[str, ...]) -> bool:
    """Return whether a file is one that systems leave lying about."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return hidden or parts[-1] in SIDE_FILES


def _submission(name: str, content: bytes | None, assignment: str, depth: int) -> Submission:
    """Return what is known of one file before it is run."""
    digest = hashlib.sha256(content or b"").hexdigest()
    found = Submission(_student(name, assignment, depth), name, digest, assignment)
    if content is None:
        found.status, found.sentence = "too large", f"the file has more than {LARGEST:,} bytes"
        return found
    found.notebook, found.status, found.sentence = read(content)
    if found.notebook is None:
        return found
    best, share = which(found.notebook)
    found.assignment = assignment or best
    if share < 0.5 or (assignment and best != assignment):
        say = f"it looks like {best}" if share >= 0.5 else "its cells are of no exercise here"
        found.status, found.sentence = "wrong assignment", say
    found.student = _student(name, found.assignment, depth)
    return found


def _student(name: str, assignment: str, depth: int) -> str:
    """Return the student's name: the outermost folder, or what the file's name adds."""
    name = unicodedata.normalize("NFC", name)
    if depth:
        return re.sub(r"\s+", " ", name.split("/")[0]).strip()
    stem = re.sub(r"\.ipynb$|\.[A-Za-z0-9]{1,5}$", "", name)
    rest = stem.replace(assignment, " ") if assignment else stem
    rest = re.sub(r"assignsubmission_file_?|Copy of |의 사본", " ", rest)
    rest = re.sub(r"[\s_\-]+", " ", rest).strip(" .")
    return rest or stem


def read(content: bytes) -> tuple[Any, str, str]:
    """Return (notebook, "", "") of a file's bytes, or (None, status, sentence).

    Whatever a file holds, the notebook has cells with a type, a text, an id and metadata.
    """
    if not content.strip():
        return None, "empty", "the file is empty"
    try:
        raw = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return None, "not a notebook", "the file is not text"
    except RecursionError:
        return None, "not a notebook", "the file is nested too deeply"
    except ValueError as error:
        begins = content.lstrip()[:1] == b"{"
        status = "truncated" if begins else "not a notebook"
        return None, status, f"the file cannot be read as a notebook: {error}"
    cells = raw.get("cells") if isinstance(raw, dict) else None
    if not isinstance(cells, list):
        return None, "not a notebook", "the file has no cells"
    notebook = nbformat.v4.new_notebook()
    for number, cell in enumerate(cells):
        if not isinstance(cell, dict):
            continue
        source = cell.get("source", "")
        source = "".join(map(str, source)) if isinstance(source, list) else str(source)
        metadata = cell.get("metadata")
        kind = "code" if cell.get("cell_type") == "code" else "markdown"
        made = nbformat.NotebookNode(
            cell_type=kind,
            id=str(cell.get("id", f"no-id-{number}"))[:64],
            source=source,
            metadata=nbformat.from_dict(metadata if isinstance(metadata, dict) else {}),
        )
        notebook.cells.append(made)
    return notebook, "", ""


def which(notebook: Any) -> tuple[str, float]:
    """Return the exercise that a notebook is nearest to, and the share of its cells found in it."""
    mine = {_squeezed(cell.source) for cell in notebook.cells}
    shares = {}
    for path in notebooks.masters():
        cells = [c for c in score.released(path).cells if c.id.startswith(("check", "question"))]
        shares[path.stem] = sum(_squeezed(c.source) in mine for c in cells) / len(cells)
    best = max(shares, key=lambda stem: shares[stem])
    return best, shares[best]


def _squeezed(text: str) -> str:
    return "".join(text.split())
