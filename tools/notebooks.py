"""The one canonical form of a notebook: how it is found, read, compared and written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import nbformat

from tools.errors import CourseError

ROOT = Path(__file__).parents[1]

# nbval does not compare the output of a cell with this tag; such a cell asserts instead.
IGNORED = "nbval-ignore-output"
ALLOWED_TAGS = {IGNORED, "hide-input", "raises-exception"}
CELL_METADATA = ("bands", "claims", "mystnb", "nbgrader", "tags")
NOTEBOOK_METADATA = ("accelerator", "course")
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

Notebook = Any  # nbformat.NotebookNode, which has no types: a dict with attribute access


def lessons() -> list[Path]:
    """Return the lessons, in order."""
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def masters() -> list[Path]:
    """Return the master notebook of every exercise, in order."""
    return sorted((ROOT / "solutions").glob("*/*.ipynb"))


def releases() -> list[Path]:
    """Return the generated student notebooks, in order."""
    return sorted((ROOT / "exercises").glob("*/*.ipynb"))


def select(names: Sequence[str]) -> list[Path]:
    """Return the lessons and masters called ``names``; all of them if there are no names.

    A name is a stem (``02_padding_and_stride``, both notebooks), the number alone (``02``), or a
    path. Raises CourseError for an unknown name, and lists the known ones.
    """
    known = lessons() + masters()
    if not names:
        return known
    chosen: list[Path] = []
    for name in names:
        found = [
            path
            for path in known
            if name in (path.stem, path.stem.split("_")[0]) or path == Path(name).resolve()
        ]
        if not found:
            listed = ", ".join(sorted({path.stem for path in known}))
            raise CourseError(f"looking for notebook {name!r}: there is none. Known: {listed}")
        chosen += found
    return chosen


def read(path: Path) -> Notebook:
    """Return the notebook at ``path``; raise CourseError if it is not one."""
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise CourseError(
            f"reading notebook {path}: {reason}. Restore it with: git checkout {path}"
        ) from error
    return notebook


def code_cells(notebook: Notebook) -> list[Any]:
    """Return the code cells that are not empty, in order."""
    return [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


def tags(cell: Any) -> list[str]:
    """Return the tags of a cell."""
    return list(cell.metadata.get("tags", []))


def code_hash(notebook: Notebook) -> str:
    """Return the SHA-256 of all code in the notebook: the code that its outputs belong to."""
    return digest(cell.source for cell in code_cells(notebook))


def digest(sources: Iterable[str]) -> str:
    """Return the SHA-256 of pieces of code, in the order given."""
    return hashlib.sha256("\n\0\n".join(sources).encode()).hexdigest()


def canonical(notebook: Notebook) -> str:
    """Return the bytes-stable text of a notebook.

    Keys are sorted; of the metadata only what the course uses is kept; timing, execution
    metadata and the id of a Figure's window are gone. Equal notebooks give equal text.
    """
    cells = [_canonical_cell(cell) for cell in notebook.cells]
    kept = {key: notebook.metadata[key] for key in NOTEBOOK_METADATA if key in notebook.metadata}
    document = {"cells": cells, "metadata": KERNEL | kept, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write(notebook: Notebook, path: Path) -> bool:
    """Write ``notebook`` to ``path`` in canonical form; return whether the bytes changed."""
    text = canonical(notebook)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True


def _lines(text: str | list[str]) -> list[str]:
    return ("".join(text)).splitlines(keepends=True)


def _canonical_cell(cell: Any) -> dict[str, Any]:
    metadata = {key: cell.metadata[key] for key in CELL_METADATA if cell.metadata.get(key)}
    if "tags" in metadata:
        metadata["tags"] = sorted(metadata["tags"])
    result = {
        "cell_type": cell.cell_type,
        "id": cell.id,
        "metadata": metadata,
        "source": _lines(cell.source.rstrip()),
    }
    if cell.cell_type == "code":
        result["execution_count"] = cell.execution_count
        result["outputs"] = _canonical_outputs(cell.outputs)
    return result


def _canonical_outputs(outputs: list[Any]) -> list[dict[str, Any]]:
    """Join neighbouring pieces of one stream (a kernel cuts them by time); drop metadata."""
    result: list[dict[str, Any]] = []
    for output in outputs:
        if output.output_type == "stream":
            last = result[-1] if result else {}
            if last.get("name") == output.name:
                last["text"] = _lines("".join(last["text"]) + output.text)
            else:
                result.append(
                    {"name": output.name, "output_type": "stream", "text": _lines(output.text)}
                )
        elif output.output_type == "error":
            result.append({key: output[key] for key in ("ename", "evalue", "output_type")})
            result[-1]["traceback"] = []
        else:
            data = {
                kind: value if kind.startswith("image/") else _lines(value)
                for kind, value in output.data.items()
            }
            plain = {"data": data, "metadata": {}, "output_type": output.output_type}
            if output.output_type == "execute_result":
                plain["execution_count"] = output.execution_count
            result.append(plain)
    return result
