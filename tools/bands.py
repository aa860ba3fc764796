"""Run the experiments of the lessons over several seeds, and keep their results as data.

    python -m tools.bands                     every experiment whose results are missing or old
    python -m tools.bands ladder lenet        these
    python -m tools.bands ladder --fresh      again from the start

An experiment is code of a lesson: the cells that carry its name in their metadata (``bands``), run
in order. The last of them defines ``run_NAME(seed)``, which returns {what was measured: number or
list}; another may set ``NAME_SEEDS``. The results of all seeds go to data/bands/NAME.json, with
a hash of the code that made them. The lesson reads that file, so that a learner need not wait.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tools import notebooks
from tools.errors import CourseError, run_tool

BANDS = notebooks.ROOT / "data" / "bands"
SEEDS = 5


def experiments() -> dict[str, Path]:
    """Return {name of an experiment: the lesson that holds it}, in the order of the lessons."""
    found: dict[str, Path] = {}
    for lesson in notebooks.lessons():
        for cell in notebooks.read(lesson).cells:
            for name in cell.metadata.get("bands", []):
                if found.setdefault(name, lesson) != lesson:
                    raise CourseError(
                        f"collecting experiments: {name!r} is in {found[name].name} and in "
                        f"{lesson.name}. Give each experiment a name of its own."
                    )
    return found


def cells_of(name: str) -> list[tuple[str, str]]:
    """Return (cell id, source) of the cells that make up an experiment, in order.

    Raises CourseError for an unknown name, and lists the known ones.
    """
    known = experiments()
    if name not in known:
        raise CourseError(
            f"looking for experiment {name!r}: there is none. Known: {', '.join(known) or 'none'}"
        )
    cells = notebooks.code_cells(notebooks.read(known[name]))
    return [(c.id, c.source) for c in cells if name in c.metadata.get("bands", [])]


def code_hash(name: str) -> str:
    """Return the SHA-256 of the code of an experiment, whatever the order of its cells.

    So a lesson may move a cell without making its results old.
    """
    return notebooks.digest(sorted(source for _, source in cells_of(name)))


def seeds_of(name: str) -> list[int]:
    """Return the seeds of an experiment: those that a cell sets as NAME_SEEDS, else 0 to 4.

    The code is read, not run, so that complete results cost nothing.
    """
    for _, source in cells_of(name):
        for node in ast.parse(source).body:
            if isinstance(node, ast.Assign) and (
                ast.unparse(node.targets[0]) == f"{name.upper()}_SEEDS"
            ):
                return list(eval(ast.unparse(node.value)))
    return list(range(SEEDS))


def path_of(name: str) -> Path:
    """Return the file that holds the results of an experiment."""
    return BANDS / f"{name}.json"


def read(name: str) -> dict[str, Any]:
    """Return the stored results; empty ones if there are none, or none of the present code."""
    digest = code_hash(name)
    if path_of(name).is_file():
        stored: dict[str, Any] = json.loads(path_of(name).read_text(encoding="utf-8"))
        if stored["code_sha256"] == digest:
            return stored
    return {"code_sha256": digest, "seeds": {}}


def write(name: str, results: dict[str, Any]) -> None:
    """Write results: one line for each thing measured, so that a diff can be read."""
    seeds = [
        f"  {json.dumps(seed)}: {{\n"
        + ",\n".join(f"   {json.dumps(key)}: {json.dumps(value)}" for key, value in found.items())
        + "\n  }"
        for seed, found in results["seeds"].items()
    ]
    head = {key: value for key, value in results.items() if key != "seeds"}
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    lines.append(' "seeds": {\n' + ",\n".join(seeds) + "\n }")
    BANDS.mkdir(parents=True, exist_ok=True)
    path_of(name).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def prepare(name: str) -> dict[str, Any]:
    """Run the cells of an experiment; return the variables that they define.

    Raises CourseError, naming the cell, if its code fails.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for cell, source in cells_of(name):
        try:
            exec(compile(source, f"<{cell}>", "exec"), namespace)
        except Exception as error:
            raise CourseError(f"preparing experiment {name!r}: cell {cell!r}: {error}") from error
    return namespace


def run(name: str, fresh: bool = False) -> None:
    """Run the seeds of an experiment that are not stored yet; write the file after each seed.

    Raises CourseError, naming the cell, if its code fails.
    """
    results = read(name)
    if fresh:
        results["seeds"] = {}
    missing = [seed for seed in seeds_of(name) if str(seed) not in results["seeds"]]
    if not missing:
        return
    namespace = prepare(name)
    if f"run_{name}" not in namespace:
        raise CourseError(
            f"preparing experiment {name!r}: none of its cells defines run_{name}(seed)"
        )
    for seed in missing:
        start = time.perf_counter()
        found = namespace[f"run_{name}"](seed)
        results["seeds"][str(seed)] = found
        results["made_with"] = {
            "python": platform.python_version(),
            "tensorflow": version("tensorflow"),
            "keras": version("keras"),
            "cpus": len(os.sched_getaffinity(0)),
        }
        write(name, results)
        seconds = time.perf_counter() - start
        numbers = {key: value for key, value in found.items() if isinstance(value, int | float)}
        print(f"{seconds:7.1f} s  {name}, seed {seed}: {numbers}", flush=True)


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="experiments; all when left out")
    parser.add_argument("--fresh", action="store_true", help="forget the stored seeds")
    options = parser.parse_args()
    # Lessons look for data/ beside and above them, so the experiments run in their folder.
    os.chdir(notebooks.ROOT / "notebooks")
    for name in options.names or experiments():
        run(name, options.fresh)


if __name__ == "__main__":
    run_tool(main)
