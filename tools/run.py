"""Execute lessons and masters in place, in canonical form.

    python -m tools.run                 all of them
    python -m tools.run 02_padding_and_stride
    python -m tools.run --fresh 01      also renew outputs that differ from run to run

A cell whose output nbval does not compare (a timing, say) keeps its recorded output for as long
as no code of its notebook changes: so two runs give the same bytes. The same holds for
data/verified.json, where each lesson has the date, the seconds and the versions of its run.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from tools import notebooks
from tools.errors import CourseError, run_tool

CELL_TIMEOUT = 1200  # seconds
VERIFIED = notebooks.ROOT / "data" / "verified.json"
PACKAGES = {"TensorFlow": "tensorflow", "Keras": "keras", "NumPy": "numpy"}


def execute(path: Path, fresh: bool = False) -> bool:
    """Run the notebook at ``path`` and write it back; return whether its bytes changed.

    Raises CourseError, naming the cell, if one fails or writes to stderr. The file is then
    left as it was.
    """
    notebook = notebooks.read(path)
    before = notebooks.read(path)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        allow_errors=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        client.execute(stderr=subprocess.DEVNULL)  # TensorFlow's log about the machine
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise CourseError(f"running {path}: {error}. The file was left as it was.") from error
    _refuse_noise(notebook, path)
    digest = notebooks.code_hash(notebook)
    notebook.metadata["course"] = {"code_sha256": digest}
    if not fresh and before.metadata.get("course", {}).get("code_sha256") == digest:
        for old, new in zip(before.cells, notebook.cells, strict=True):
            if notebooks.IGNORED in notebooks.tags(new):
                new.outputs = old.outputs
    return notebooks.write(notebook, path)


def versions() -> dict[str, str]:
    """Return the versions that a lesson's page names."""
    found = {name: version(package) for name, package in PACKAGES.items()}
    return {"Python": platform.python_version()} | found


def record(path: Path, seconds: float, fresh: bool = False) -> None:
    """Write down a run of the lesson at ``path``, unless this code ran in these versions before."""
    runs: dict[str, Any] = {}
    if VERIFIED.is_file():
        runs = json.loads(VERIFIED.read_text(encoding="utf-8"))
    digest = notebooks.code_hash(notebooks.read(path))
    known, present = runs.get(path.stem, {}), versions()
    if not fresh and (known.get("code_sha256"), known.get("versions")) == (digest, present):
        return
    runs[path.stem] = {
        "date": datetime.date.today().isoformat(),
        "seconds": round(seconds),
        "cores": len(os.sched_getaffinity(0)),
        "versions": present,
        "code_sha256": digest,
    }
    lines = [f" {json.dumps(name)}: {json.dumps(runs[name])}" for name in sorted(runs)]
    VERIFIED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _refuse_noise(notebook: notebooks.Notebook, path: Path) -> None:
    """Raise CourseError if a cell ended in an error or wrote to stderr.

    A cell whose output is ignored may log: TensorFlow tells about the machine when it starts.
    That is no result, so it is dropped.
    """
    for cell in notebooks.code_cells(notebook):
        if notebooks.IGNORED in notebooks.tags(cell):
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        for output in cell.outputs:
            what = None
            if output.output_type == "error":
                what = f"{output.ename}: {output.evalue}"
            elif output.output_type == "stream" and output.name == "stderr":
                what = f"it wrote to stderr: {output.text.strip()[:300]}"
            if what:
                raise CourseError(
                    f"running {path}: cell {cell.id!r}: {what}. "
                    "Mend the cell and run again; the file was left as it was."
                )


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="stem, number or path; all when left out")
    parser.add_argument("--fresh", action="store_true", help="renew the outputs not compared, too")
    options = parser.parse_args()
    for path in notebooks.select(options.names):
        start = time.perf_counter()
        changed = execute(path, options.fresh)
        seconds = time.perf_counter() - start
        if path in notebooks.lessons():
            record(path, seconds, options.fresh)
        word = "changed" if changed else "unchanged"
        print(f"{seconds:7.1f} s  {word:9}  {path.relative_to(notebooks.ROOT)}", flush=True)


if __name__ == "__main__":
    run_tool(main)
