"""Generate exercises/ from the masters in solutions/, with nbgrader's own steps.

    python -m tools.exercises

The result is what ``nbgrader generate_assignment`` releases, in the course's canonical form.
Only the notebook goes out: mutants and other files of a master's folder stay behind.
"""

from __future__ import annotations

from pathlib import Path

from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearHiddenTests,
    ClearMarkScheme,
    ClearOutput,
    ClearSolutions,
    ComputeChecksums,
    LockCells,
)
from traitlets.config.loader import Config, PyFileConfigLoader

from tools import notebooks
from tools.errors import CourseError, run_tool

# The steps of nbgrader's GenerateAssignment, less those that write to the gradebook.
STEPS = (
    LockCells,
    ClearSolutions,
    ClearOutput,
    CheckCellMetadata,
    ClearHiddenTests,
    ClearMarkScheme,
    ComputeChecksums,
    CheckCellMetadata,
)


def nbgrader_config() -> Config:
    """Return the settings in nbgrader_config.py, those that nbgrader's own commands read."""
    return PyFileConfigLoader("nbgrader_config.py", path=str(notebooks.ROOT)).load_config()


def release(master: Path) -> notebooks.Notebook:
    """Return the student's notebook made from ``master``: stubs for answers, no hidden tests.

    Raises CourseError if nbgrader refuses the master (a missing region, a doubled grade id).
    """
    notebook = notebooks.read(master)
    config = nbgrader_config()
    for step in STEPS:
        try:
            notebook, _ = step(config=config).preprocess(notebook, {})
        except Exception as error:  # nbgrader raises RuntimeError, KeyError, ValidationError ...
            raise CourseError(
                f"releasing {master}: {step.__name__}: {error}. Mend the master and try again."
            ) from error
    notebook.metadata.pop("course", None)  # the hash belongs to outputs, and there are none
    return notebook


def release_path(master: Path) -> Path:
    """Return where the release of ``master`` belongs."""
    return notebooks.ROOT / "exercises" / master.parent.name / master.name


def main() -> None:
    """Command line of this module."""
    for master in notebooks.masters():
        target = release_path(master)
        changed = notebooks.write(release(master), target)
        print(f"{'changed' if changed else 'unchanged':9}  {target.relative_to(notebooks.ROOT)}")


if __name__ == "__main__":
    run_tool(main)
