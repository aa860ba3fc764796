"""Read what was handed in: a notebook in its barest form, or a sentence on what it is instead."""

from __future__ import annotations

import functools
import json
import re
import zlib
from collections import Counter
from typing import Any

import nbformat

from tools import notebooks

MIB = 2**20
TEXT = 2 * MIB  # characters of all cells together; a student's notebook has 0.02 MB
CELLS = 2_000
PARTS = 1_000_000  # brackets and keys in the file: each costs the reader far more than its byte
BROKEN = "�"  # stands for half a character, and for one that no file can hold
AGAIN = "hand in the .ipynb (in Colab: File > Download > Download .ipynb)"
# What a file is by its first bytes, and what its student can do.
MAGIC = (
    (b"Rar!", f"it is a rar archive: {AGAIN} itself"),
    (b"7z\xbc\xaf\x27\x1c", f"it is a 7z archive: {AGAIN} itself"),
    (b"PK\3\4", f"it is a zip archive or an Office file, not a notebook: {AGAIN} itself"),
    (b"PK\5\6", f"it is an empty zip archive: {AGAIN}"),
    (b"\x1f\x8b", f"it is a gz archive: {AGAIN} itself"),
    (b"BZh", f"it is a bz2 archive: {AGAIN} itself"),
    (b"\xfd7zXZ", f"it is an xz archive: {AGAIN} itself"),
    (b"%PDF", f"it is a PDF, a picture of a notebook: {AGAIN}"),
    (b"\x89PNG", f"it is a picture: {AGAIN}"),
    (b"\xff\xd8\xff", f"it is a picture: {AGAIN}"),
    (b"\xd0\xcf\x11\xe0", f"it is an Office file: {AGAIN}"),
    (b"\xff\xfe", f"it is text in UTF-16, as Notepad saves it: {AGAIN} again, unopened"),
    (b"\xfe\xff", f"it is text in UTF-16, as Notepad saves it: {AGAIN} again, unopened"),
)
MARKER = re.compile(r"(?:#|\*\*) ?(Check|Answer) (\d+)\b")
NAMED = re.compile(r"(question|check|answer)-(\d+)")

Verdict = tuple[Any, str, str]


def read(content: bytes, name: str = "") -> Verdict:
    """Return (notebook, "", "") of a file's bytes, or (None, status, sentence).

    Whatever a file holds, the notebook has cells with a type, a text, an id, and of the metadata
    the tags and what nbgrader wrote. It can be written as UTF-8.
    """
    cells, status, sentence = _cells(content, name)
    return (None if cells is None else _notebook(cells)), status, sentence


def _cells(content: bytes, name: str) -> Verdict:
    """Return the cells of a notebook as plain data, or None and why there are none."""
    if not content.strip(b"\0 \t\r\n\xef\xbb\xbf"):
        return None, "empty", f"the file is empty: {AGAIN} again"
    if said := not_text(content, name):
        return None, "not a notebook", said
    if sum(map(content.count, (b"[", b"{", b'":'))) > PARTS:
        return None, "too large", "the file has too many parts: clear the outputs, and save it"
    try:
        raw = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return None, "not a notebook", f"the file is not text: {AGAIN}"
    except (RecursionError, MemoryError):
        return None, "not a notebook", f"the file is nested too deeply: {AGAIN}"
    except ValueError as error:
        return _no_json(content, error)
    try:
        return _bare(raw)
    except (RecursionError, MemoryError):
        return None, "not a notebook", f"the file is nested too deeply: {AGAIN}"


def not_text(content: bytes, name: str) -> str:
    """Return what a file is instead of a notebook, by its beginning; "" if it may be one."""
    for start, said in MAGIC:
        if content.startswith(start):
            return said
    start = content[:2000].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<body")):
        return f"it is a web page: {AGAIN}"
    if start.startswith(b"{"):
        return ""
    python = name.lower().endswith(".py") or b"# -*- coding" in start
    if python or re.search(rb"^(import \w|from \w+ import|def \w+\()", start, re.M):
        return f"it is a Python script, not the notebook: {AGAIN}, not the .py"
    return ""


def _no_json(content: bytes, error: ValueError) -> Verdict:
    """Return the verdict on text that is not JSON."""
    if content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{":
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        sentence = f"the notebook breaks off or is damaged{where}: save it, and {AGAIN} again"
        return None, "truncated", sentence
    return None, "not a notebook", f"the file is text, but no notebook: {AGAIN}"


def _bare(raw: Any) -> Verdict:
    """Return the notebook with nothing but what is graded."""
    cells = raw.get("cells") if isinstance(raw, dict) else None
    if isinstance(raw, dict) and isinstance(raw.get("worksheets"), list):
        sentence = (
            f"the notebook is in the format of 2014: open it in Jupyter, save it, and {AGAIN}"
        )
        return None, "not a notebook", sentence
    if not isinstance(cells, list):
        return None, "not a notebook", f"the file has no cells: {AGAIN}"
    if len(cells) > CELLS:
        return None, "too large", f"the notebook has more than {CELLS:,} cells: delete your trials"
    made = [_cell(n, cell) for n, cell in enumerate(cells) if isinstance(cell, dict)]
    if sum(len(cell["source"]) for cell in made) > TEXT:
        sentence = f"its cells hold more than {TEXT // MIB} MB of text: delete what is no answer"
        return None, "too large", sentence
    return made, "", ""


def _cell(number: int, cell: dict[str, Any]) -> dict[str, Any]:
    source = cell.get("source", "")
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    source = clean(source) if isinstance(source, str) else ""
    name = cell.get("id")
    name = re.sub(r"[^A-Za-z0-9_-]", "-", name[:64]) if isinstance(name, str) else ""
    metadata = cell.get("metadata")
    return {
        "cell_type": "code" if cell.get("cell_type") == "code" else "markdown",
        "id": name or f"no-id-{number}",
        "source": source.replace("\r\n", "\n").replace("\r", "\n"),
        "metadata": _metadata(metadata if isinstance(metadata, dict) else {}),
    }


def _metadata(given: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a cell's metadata that anybody reads, with plain short values."""
    kept: dict[str, Any] = {}
    grading, tags = given.get("nbgrader"), given.get("tags")
    if isinstance(grading, dict):
        plain = list(grading.items())[:20]
        kept["nbgrader"] = {
            clean(str(key))[:64]: clean(value)[:200] if isinstance(value, str) else value
            for key, value in plain
            if isinstance(value, (str, bool)) or (isinstance(value, int) and abs(value) < 2**53)
        }
    if isinstance(tags, list):
        kept["tags"] = [clean(tag)[:100] for tag in tags[:20] if isinstance(tag, str)]
    return kept


def clean(text: str) -> str:
    """Return a text that every file can hold: half characters and NULs are replaced."""
    if text.isascii():
        return text.replace("\0", BROKEN)
    return re.sub("[\0\ud800-\udfff]", BROKEN, text)


def packed(notebook: Any) -> bytes:
    """Return a notebook as few bytes."""
    cells = [_cell(n, dict(cell)) for n, cell in enumerate(notebook.cells)]
    return zlib.compress(json.dumps(cells, ensure_ascii=False).encode(), 6)


def unpacked(content: bytes) -> Any:
    """Return the notebook in these bytes, a nbformat.NotebookNode."""
    return _notebook(json.loads(zlib.decompress(content)))


def _notebook(cells: list[dict[str, Any]]) -> Any:
    notebook = nbformat.v4.new_notebook()
    notebook.cells = nbformat.from_dict(cells)
    return notebook


# Which exercise it is


@functools.cache
def _marks() -> dict[str, dict[str, set[str]]]:
    """Return for each exercise, by question, the lines that stand in no other exercise."""
    from tools.grading import score  # it imports much that other users of this module do not need

    lines: dict[str, dict[str, set[str]]] = {}
    for path in notebooks.masters():
        of: dict[str, set[str]] = {}
        for n, cell in enumerate(score.released(path).cells):
            found = NAMED.fullmatch(cell.id)
            key = found[2] if found else "title" if n == 0 else ""
            if key:
                of.setdefault(key, set()).update(_lines(cell.source))
        lines[path.stem] = of
    counts = Counter(x for of in lines.values() for x in set().union(*of.values()))
    once = {line for line, count in counts.items() if count == 1}
    return {
        stem: {key: own & once for key, own in of.items() if own & once}
        for stem, of in lines.items()
    }


def _lines(text: str) -> set[str]:
    squeezed = ("".join(line.split()) for line in str(text).split("\n"))
    return {line for line in squeezed if len(line) >= 12}


def which(notebook: Any, hint: str = "") -> tuple[str, float]:
    """Return the exercise that a notebook is of, and how sure this is: below 0.5 it is of none.

    Its own lines tell it: those of questions, checks and answers to come. If the cells have the
    exercises' ids, grade_ids or first lines, a few of them are enough; and if the student has left
    none of them, ``hint``, the exercise that was asked for, is believed.
    """
    mine: set[str] = set().union(*(_lines(cell.source) for cell in notebook.cells))
    found = {stem: _found(of, mine) for stem, of in _marks().items()}
    best, second = sorted(found, key=lambda stem: found[stem], reverse=True)[:2]
    named = {number for cell in notebook.cells for number in _numbers(cell)}
    ours = len(named) >= 4
    if ours and hint in found and found[best] == found[hint]:
        return hint, max(0.5, found[hint][0])
    if ours and found[best] > found[second]:
        return best, max(0.5, found[best][0])
    return best, found[best][0]


def _found(of: dict[str, set[str]], mine: set[str]) -> tuple[float, int]:
    """Return the share of questions with a fifth of their lines or more, and how many lines."""
    hits = sum(len(own & mine) * 5 >= len(own) for own in of.values())
    return hits / len(of), sum(len(own & mine) for own in of.values())


def _numbers(cell: Any) -> set[str]:
    """Return the numbers of the questions that a cell names."""
    grading = cell.metadata.get("nbgrader", {})
    told = [cell.get("id"), grading.get("grade_id") if isinstance(grading, dict) else None]
    found = [NAMED.fullmatch(name) for name in told if isinstance(name, str)]
    return {m[2] for m in [*found, MARKER.match(str(cell.source).lstrip())] if m}


def untouched(notebook: Any, stem: str) -> bool:
    """Return whether no answer of the exercise was changed."""
    from tools.grading import score

    mine = {"".join(str(cell.source).split()) for cell in notebook.cells}
    for path in notebooks.masters():
        if path.stem == stem:
            stubs = [c for c in score.released(path).cells if c.id.startswith("answer-")]
            return all("".join(str(c.source).split()) in mine for c in stubs)
    return False
