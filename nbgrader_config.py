"""nbgrader reads this where it is run, so that its own commands work on the course as it is."""

import os
from pathlib import Path

c = get_config()  # noqa: F821 - nbgrader defines it

c.CourseDirectory.course_id = "convolution-by-hand"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"
# An assignment is its notebook alone: mutants and anything else of a source folder stay here.
c.CourseDirectory.ignore = ["*.yml", "*.pyc", "__pycache__", ".ipynb_checkpoints"]

# A stub is an expression, so that an untouched notebook is valid Python and every cell runs.
c.ClearSolutions.code_stub = {"python": "...  # your answer here"}
c.ClearSolutions.text_stub = "*Your answer here.*"
c.IncludeHeaderFooter.header = ""

# Nothing is lost or scored wrongly when a submission lacks a check cell.
c.OverwriteCells.add_missing_cells = True
c.ExecutePreprocessor.timeout = 120

# A submission is run in a folder of its own, from which data/ cannot be seen: a room without
# internet needs this to find the digits.
os.environ.setdefault("COURSE_DATA", str(Path(__file__).resolve().parent / "data"))
