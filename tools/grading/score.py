"""Grade one notebook: put it in order, run it behind the wall, run the tests out here.

The check cells of the master are run as they stand, public and hidden part, in this process. Of a
submission only what stands in its answer cells, and in cells of the student's own, is ever run.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import ctypes
import functools
import io
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from tools import exercises, notebooks
from tools.grading import remote
from tools.grading.wall import Server

STANDS_INSIDE = {
    "keras",
    "tf",
}  # modules that the tests use inside, where the student's objects are
USUAL = ("passed", "failed", "not answered", "to read")
DATA = "shared-load-mnist"  # names Keras only for a download, which a grader does not need


@dataclass
class Question:
    """The result of one graded cell. ``points`` is None where a person has to read the answer."""

    name: str
    maximum: float
    points: float | None
    status: str  # passed, failed, to read, not answered, or why the code was stopped
    message: str = ""
    hidden: bool = False  # the failure is one of the hidden tests'


@dataclass
class Result:
    """The grade of one submission: its status, in words too, and its questions."""

    status: str = "graded"
    sentence: str = ""
    notes: list[str] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    printed: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data for a JSON file."""
        return asdict(self)


# Putting a submission in order


@functools.cache
def released(path: Path) -> notebooks.Notebook:
    """Return the student's notebook of a master; it is made once, so it must not be changed."""
    return exercises.release(path)


def find_cells(submission: Any, release: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the student's cells by the release's ids, and notes on what was not as released.

    A cell is known by its id, else by its grade_id, else by its first line: Colab and Drive may
    drop the first two. Of two cells with the same name the first one counts.
    """
    lines, notes = {}, []
    for cell in release.cells:
        if "nbgrader" in cell.metadata:
            lines[_first_line(cell)] = cell.id
    known = {cell.id for cell in release.cells}
    found: dict[str, Any] = {}
    for cell in submission.cells:
        grade_id = cell.metadata.get("nbgrader", {})
        grade_id = grade_id.get("grade_id") if isinstance(grade_id, dict) else None
        for name in (cell.get("id"), grade_id, lines.get(_first_line(cell))):
            if isinstance(name, str) and name in known:
                if name in found:
                    notes.append(f"there are two cells {name}; the first one counts")
                else:
                    found[name] = cell
                break
    for cell in release.cells:
        if "nbgrader" in cell.metadata and cell.id not in found:
            notes.append(f"the cell {cell.id} is missing")
        elif cell.metadata.get("nbgrader", {}).get("locked") and not _equal(cell, found[cell.id]):
            notes.append(f"{cell.id} was edited; the original was used")
    return found, notes


def in_order(submission: Any, master: Any, release: Any) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the code to run as (cell id, source), and notes on what was not as released.

    Answers are the student's, everything else of the exercise is the master's, checks are left
    out, and cells that the student added run where they stand.
    """
    found, notes = find_cells(submission, release)
    names = {id(cell): name for name, cell in found.items()}
    answers = {c.id for c in release.cells if c.metadata.get("nbgrader", {}).get("solution")}
    own: dict[str, list[tuple[str, str]]] = {}
    before = ""
    for number, cell in enumerate(submission.cells):
        name = names.get(id(cell))
        if name:
            before = name
        elif cell.cell_type == "code" and cell.source.strip():
            own.setdefault(before, []).append((f"own-{number}", cell.source))
    code = own.get("", [])
    for cell in master.cells:
        given = found.get(cell.id)
        if cell.cell_type == "code" and cell.id in answers:
            if given is not None and given.cell_type == "code":
                code.append((cell.id, given.source))
        elif cell.cell_type == "code" and not cell.id.startswith("check-"):
            code.append((cell.id, cell.source))
        code += own.get(cell.id, [])
    return code, notes


def _first_line(cell: Any) -> str:
    return str(cell.source).strip().split("\n")[0].strip()


def _equal(one: Any, other: Any) -> bool:
    return str(one.source).split() == str(other.source).split()


# Running the tests


@functools.cache
def trusted_space(path: Path) -> dict[str, Any]:
    """Return the names that the tests of a master share and that do not come from a student.

    They are made by the master's cells that are neither answer nor check and use no Keras.
    """
    space: dict[str, Any] = {"__name__": "__main__", "os": os}  # os: with Keras in one cell
    for cell in notebooks.code_cells(notebooks.read(path)):
        inside = STANDS_INSIDE & names_in(cell.source) and cell.id != DATA
        if "nbgrader" not in cell.metadata and not inside:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(cell.source, f"<{cell.id}>", "exec"), space)
    return space


def names_in(source: str) -> set[str]:
    """Return the names that a piece of code uses, imports included."""
    tree = ast.walk(ast.parse(source))
    return {n.id for n in tree if isinstance(n, ast.Name)} | {
        (alias.asname or alias.name).split(".")[0]
        for n in ast.walk(ast.parse(source))
        if isinstance(n, ast.Import | ast.ImportFrom)
        for alias in n.names
    }


def run_check(session: remote.Session, check: Any, space: dict[str, Any]) -> None:
    """Run a check cell here, with stand-ins for the student's names; raise what it raises."""
    names = dict(space)
    for name in sorted(names_in(check.source) - set(space) - set(vars(builtins))):
        found = session.ask("get", name)
        if found:
            names[name] = found[0]
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(check.source, f"<{check.id}>", "exec"), names)


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise remote.Ended in this thread if the block takes longer.

    A test that runs out here cannot be killed, as a student's process can; but it is the course's
    own code, and a loop over something endless that a student returned ends in this way.
    """
    lock, thread = threading.Lock(), threading.get_ident()
    done = False

    def stop() -> None:
        with lock:
            if not done:
                late = ctypes.py_object(remote.Late)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), late)

    timer = threading.Timer(seconds, stop)
    timer.start()
    try:
        yield
    finally:
        with lock:
            done = True
        timer.cancel()


class Grader:
    """The run of one submission, over as many processes as its crashes make necessary."""

    def __init__(self, path: Path, submission: Any, server: Server) -> None:
        self.limits, self.server, self.path = server.limits, server, path
        self.master = notebooks.read(path)
        self.code, notes = in_order(submission, self.master, released(path))
        self.result = Result(notes=notes)
        self.deadline = time.monotonic() + server.limits.notebook
        self.session: remote.Session | None = None
        self.skipped: dict[str, remote.Ended] = {}  # cells that ended the process, and how

    def run(self) -> Result:
        """Grade every question; a stopped one costs only itself, as far as the time allows."""
        started = time.monotonic()
        try:
            for cell in self.master.cells:
                if cell.metadata.get("nbgrader", {}).get("grade"):
                    self.result.questions.append(self.grade(cell))
        finally:
            if self.session:
                self.session.close()
        self.result.seconds = round(time.monotonic() - started, 2)
        stopped = [q for q in self.result.questions if q.status not in USUAL]
        lost = [note for note in self.result.notes if note.startswith("the cell answer-")]
        if lost:
            self.result.status, self.result.sentence = "missing cells", "; ".join(lost)
        if stopped:
            self.result.status, self.result.sentence = stopped[0].status, stopped[0].message
        return self.result

    def grade(self, cell: Any) -> Question:
        """Return the result of one graded cell of the master."""
        points = float(cell.metadata["nbgrader"]["points"])
        if cell.cell_type == "markdown":
            return Question(cell.id, points, None, "to read")
        answer = cell.id.replace("check-", "answer-")
        if answer not in dict(self.code):
            return Question(cell.id, points, 0.0, "not answered", "the answer cell is missing")
        try:
            session = self.ready(answer)
            session.allow(self.limits.call)
            with at_most(self.limits.call + 5):
                run_check(session, cell, trusted_space(self.path))
            return Question(cell.id, points, points, "passed")
        except remote.Ended as ended:
            self.close()
            self.skipped[answer] = ended
            return Question(cell.id, points, 0.0, ended.status, str(ended))
        except Exception as error:
            return self.failure(cell, points, error)

    def failure(self, cell: Any, points: float, error: Exception) -> Question:
        """Return the result of a check that raised, with a message for the student."""
        text = str(error).strip() or type(error).__name__
        if not isinstance(error, AssertionError):
            text = f"{type(error).__name__}: {text}"
        status = "not answered" if "is still to do" in text else "failed"
        lines = cell.source.split("\n")
        start = next((n for n, s in enumerate(lines, 1) if "BEGIN HIDDEN" in s), len(lines) + 1)
        trace, at = error.__traceback__, 0
        while trace:
            if trace.tb_frame.f_code.co_filename == f"<{cell.id}>":
                at = max(at, trace.tb_lineno) if at == 0 else at
            trace = trace.tb_next
        return Question(cell.id, points, 0.0, status, text, hidden=at >= start)

    def ready(self, answer: str) -> remote.Session:
        """Return a session in which the cells have been run; begin a new one if there is none."""
        if self.session is None:
            self.session = remote.Session(self.server.sandbox(), self.deadline)
            for name, source in self.code:
                if name in self.skipped:
                    continue
                self.session.allow(self.limits.call)
                try:
                    self.result.printed[name] = self.session.ask("run", source, name)
                except remote.Ended as ended:
                    self.close()
                    self.skipped[name] = ended
                    if name == answer:
                        raise
                    self.result.notes.append(f"{name} was left out: {ended}")
                    return self.ready(answer)
        if answer in self.skipped:
            raise self.skipped[answer]
        return self.session

    def close(self) -> None:
        """End the process, so that the next question begins with a new one."""
        if self.session:
            self.session.close()
        self.session = None


def grade(path: Path, submission: Path, server: Server) -> Result:
    """Return the grade of the notebook ``submission`` against the master at ``path``."""
    return Grader(path, nbformat.read(submission, as_version=4), server).run()
