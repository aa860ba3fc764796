"""Grade one notebook: put it in order, and have it run and judged behind the wall.

Of a submission only what stands in its answer cells, in cells of the student's own, and in cells of
the course that the student changed is ever run. What comes back from behind the wall is believed in
nothing but this: which checks passed. Every text is cut and cleaned before it is kept.
"""

from __future__ import annotations

import builtins
import functools
import os
import re
import select
import socket
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tools import exercises, notebooks
from tools.errors import CourseError
from tools.grading import values
from tools.grading.judge import INSIDE, names_in
from tools.grading.wall import Sandbox, Zygote

STATUSES = ("passed", "failed", "not answered")  # what the judge may say of a check
USUAL = (*STATUSES, "to read")
DATA = "shared-load-mnist"  # names Keras only for a download, which a grader does not need
TEXT = 500_000  # characters of printed texts and errors that are kept of a submission
HIDDEN = re.compile(r"^### BEGIN HIDDEN TESTS$.*?^### END HIDDEN TESTS$\n?", re.M | re.S)


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
    drop the first two. Of two cells with the same name the first one has it; see ``in_order``.
    """
    lines = {_first_line(cell): cell.id for cell in release.cells if "nbgrader" in cell.metadata}
    known = {cell.id for cell in release.cells}
    found: dict[str, Any] = {}
    notes = []
    for cell in submission.cells:
        for name in _names_of(cell, lines):
            if name in known:
                if name in found:
                    notes.append(f"there are two cells {name}; {_twice(name)}")
                else:
                    found[name] = cell
                break
    for cell in release.cells:
        if "nbgrader" in cell.metadata and cell.id not in found:
            notes.append(f"the cell {cell.id} is missing")
        elif "nbgrader" in cell.metadata and cell.cell_type != found[cell.id].cell_type:
            notes.append(f"{cell.id} is no {cell.cell_type} cell any more, so it was not read")
        elif cell.metadata.get("nbgrader", {}).get("locked") and not _equal(cell, found[cell.id]):
            notes.append(f"{cell.id} was edited; the original was used")
    return found, notes[:50]


def _names_of(cell: Any, lines: dict[str, str]) -> list[Any]:
    """Return by what a cell may be known: its id, its grade_id, the name of its first line."""
    grading = cell.metadata.get("nbgrader", {})
    grade_id = grading.get("grade_id") if isinstance(grading, dict) else None
    names = [cell.get("id"), grade_id, lines.get(_first_line(cell))]
    return [name for name in names if isinstance(name, str)]


def _twice(name: str) -> str:
    return "both were run" if name.startswith("answer-") else "the original was used"


def in_order(submission: Any, master: Any, release: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the steps of a run, {"kind": "cell" or "check", "id", "source"}, and notes.

    The steps have the order of the notebook. Answers are the student's, checks the master's. A
    cell of the course that the student has changed is run as it was, and then as it is now. Cells
    that the student added run where they stand.
    """
    found, notes = find_cells(submission, release)
    names = {id(cell): name for name, cell in found.items()}
    lines = {_first_line(cell): cell.id for cell in release.cells if "nbgrader" in cell.metadata}
    own: dict[str, list[dict[str, Any]]] = {}
    before = ""
    for number, cell in enumerate(submission.cells):
        name = names.get(id(cell))
        if name:
            before = name
        elif cell.cell_type == "code" and cell.source.strip():
            again = any(n.startswith("check-") for n in _names_of(cell, lines))
            step = {"kind": "cell", "id": f"own-{number}", "source": cell.source}
            own.setdefault(before, []).extend([] if again else [step])
    steps = own.get("", [])
    for cell in master.cells:
        if cell.cell_type == "code":
            steps += _steps_of(cell, found.get(cell.id), notes)
        steps += own.get(cell.id, [])
    return steps, notes


def _steps_of(cell: Any, given: Any, notes: list[str]) -> list[dict[str, Any]]:
    """Return the steps of one code cell of the master, of which the student has ``given``."""
    facts = cell.metadata.get("nbgrader", {})
    if facts.get("grade"):
        seen = HIDDEN.sub("", cell.source)
        return [{"kind": "check", "id": cell.id, "source": cell.source, "seen": seen}]
    yours = given.source if given is not None and given.cell_type == "code" else None
    if facts.get("solution"):
        return [] if yours is None else [{"kind": "cell", "id": cell.id, "source": yours}]
    steps = [{"kind": "cell", "id": cell.id, "source": cell.source}]
    if yours is not None and yours.split() != cell.source.split():
        notes.append(f"{cell.id} was changed: the original was run, and then yours")
        steps.append({"kind": "cell", "id": f"{cell.id}-yours", "source": yours})
    return steps


def _untouched(submission: Any, release: Any) -> bool:
    """Return whether every answer cell that is there stands as it was released."""
    found, _ = find_cells(submission, release)
    answers = [c for c in release.cells if c.metadata.get("nbgrader", {}).get("solution")]
    return all(_equal(cell, found[cell.id]) for cell in answers if cell.id in found)


def _first_line(cell: Any) -> str:
    return str(cell.source).strip().split("\n")[0].strip()


def _equal(one: Any, other: Any) -> bool:
    return str(one.source).split() == str(other.source).split()


@functools.cache
def shared_cells(path: Path) -> tuple[list[list[str]], list[list[str]]]:
    """Return the cells of a master that are neither answer nor check: [[id, source], ...] twice.

    The first ones use no Keras and are the tests' own; the others are run in the clean process.
    """
    plain: list[list[str]] = []
    with_keras: list[list[str]] = []
    for cell in notebooks.code_cells(notebooks.read(path)):
        if "nbgrader" not in cell.metadata:
            inside = INSIDE & names_in(cell.source) and cell.id != DATA
            (with_keras if inside else plain).append([cell.id, cell.source])
    return plain, with_keras


# The run


class Stopped(Exception):
    """The processes of a submission were ended, or have ended, at a step."""

    def __init__(self, step: str, status: str, sentence: str) -> None:
        super().__init__(sentence)
        self.step, self.status = step, status


class Grader:
    """The run of one submission, over as many processes as its crashes make necessary."""

    def __init__(self, path: Path, submission: Any, zygote: Zygote) -> None:
        self.zygote, self.limits, self.path = zygote, zygote.limits, path
        self.master = notebooks.read(path)
        self.steps, notes = in_order(submission, self.master, released(path))
        self.result = Result(notes=notes)
        self.untouched = _untouched(submission, released(path))
        self.judged: dict[str, tuple[str, str, bool]] = {}  # check: status, message, hidden
        self.stopped: dict[str, tuple[str, str]] = {}  # step: status, sentence
        self.text_left = TEXT

    def run(self) -> Result:
        """Grade every question; a stopped one costs only itself, as far as the time allows."""
        started = time.monotonic()
        self.deadline = started + self.limits.notebook
        while not self._all_judged():
            attempt = Attempt(self)
            try:
                attempt.follow()
                break
            except Stopped as stopped:
                self._note(stopped)
                if time.monotonic() >= self.deadline:
                    self._give_up(stopped)
                    break
            finally:
                attempt.close()
        self._errors_again()
        self.zygote.refuse_if_changed()
        self.result.seconds = round(time.monotonic() - started, 2)
        return self._finished()

    def _errors_again(self) -> None:
        """Take the texts of errors from processes in which no hidden test has been.

        A function may keep what a hidden test has handed it, and a later cell could raise it: the
        feedback would show it. So where there was an error the cells run again, without checks.
        """
        first = next((i for i, s in enumerate(self.steps) if s["kind"] == "check"), 0)
        later = {step["id"] for step in self.steps[first:]}
        first_run = self.result.printed
        raised = {n for n, told in first_run.items() if told["error"] and n in later}
        if not raised:
            return
        self.result.printed, self.text_left = {}, TEXT
        attempt = Attempt(self)
        try:
            attempt.follow(checks=False)
        except Stopped:
            pass  # the others are told all the same
        finally:
            attempt.close()
        again, self.result.printed = self.result.printed, first_run
        for name in raised:
            kind, other = first_run[name]["error"][0], again.get(name, {}).get("error")
            kind = kind if hasattr(builtins, kind) else "an error"
            first_run[name]["error"] = other or [kind, "", f"{kind}, when the checks had been run"]

    def _all_judged(self) -> bool:
        return all(s["id"] in self.judged for s in self.steps if s["kind"] == "check")

    def _note(self, stopped: Stopped) -> None:
        """Remember that a step is not to be taken again, and what it costs."""
        if not stopped.step:  # before the first one: nothing of the student's has run
            raise CourseError(f"starting the run: {stopped}") from stopped
        self.stopped[stopped.step] = stopped.status, str(stopped)
        check = stopped.step.replace("answer-", "check-")
        if check.startswith("check-"):
            self.judged[check] = stopped.status, str(stopped), False
        else:
            self.result.notes.append(f"{stopped.step} was left out: {stopped}")

    def _give_up(self, stopped: Stopped) -> None:
        """Give all checks that are left the reason for which the run has ended."""
        for step in self.steps:
            if step["kind"] == "check":
                self.judged.setdefault(step["id"], (stopped.status, str(stopped), False))

    def plan(self, checks: bool = True) -> dict[str, Any]:
        """Return what the judge is to do: what is left, without what has ended a process."""
        plain, with_keras = shared_cells(self.path)
        judged = self.judged if checks else {}
        left = [
            step for step in self.steps
            if step["id"] not in (judged if step["kind"] == "check" else self.stopped)
        ]  # fmt: skip
        seed = os.environ.get("COURSE_SEED", "2026")
        plan = {"seed": seed, "space": plain, "clean": with_keras, "steps": left}
        return plan | {"checks": checks}

    def ran(self, name: str, told: Any) -> None:
        """Keep what a cell printed, cut and cleaned."""
        told = told if isinstance(told, dict) else {}
        printed = values.clean(told.get("printed"), min(20_100, self.text_left))
        error = told.get("error")
        if isinstance(error, list) and len(error) == 3:
            error = [values.clean(part, min(2_200, self.text_left)) for part in error]
        else:
            error = None
        self.text_left -= len(printed) + sum(map(len, error or []))
        self.result.printed[name] = {"printed": printed, "error": error}

    def _finished(self) -> Result:
        """Return the result with a question for each graded cell of the master."""
        result = self.result
        for cell in self.master.cells:
            facts = cell.metadata.get("nbgrader", {})
            if not facts.get("grade"):
                continue
            most = float(facts["points"])
            if cell.cell_type == "markdown":
                result.questions.append(Question(cell.id, most, None, "to read"))
                continue
            status, message, hidden = self.judged[cell.id]
            if status == "failed" and cell.id.replace("check-", "answer-") not in self._answers():
                status, message = "not answered", "the answer cell is missing"
            points = most if status == "passed" else 0.0
            result.questions.append(Question(cell.id, most, points, status, message, hidden))
        if self.untouched:
            result.status = "untouched"
            result.sentence = "every answer is as it was released: was another file meant?"
        stopped = [q for q in result.questions if q.status not in USUAL]
        lost = [note for note in result.notes if note.startswith("the cell answer-")]
        if lost:
            result.status, result.sentence = "missing cells", "; ".join(lost)
        if stopped:
            result.status, result.sentence = stopped[0].status, stopped[0].message
        return result

    def _answers(self) -> set[str]:
        return {step["id"] for step in self.steps if step["id"].startswith("answer-")}


class Attempt:
    """The processes of one attempt at a submission: judge, worker, and the clean one."""

    def __init__(self, grader: Grader) -> None:
        self.grader, self.limits = grader, grader.limits
        self.judge = grader.zygote.sandbox("judge")
        self.sandboxes: dict[str, Sandbox] = {"judge": self.judge}
        self.step = ""
        self.until = grader.deadline

    def follow(self, checks: bool = True) -> None:
        """Follow the run to its end. Raises Stopped where a process ends, or has to be ended.

        Without ``checks`` only the cells are run.
        """
        stream = self.judge.stream
        stream.settimeout(10)
        try:
            values.send(stream, {"plan": self.grader.plan(checks)}, [])
            while True:
                self._wait(stream)
                message, _ = values.receive(stream)
                if "end" in message:
                    return
                self._take(message)
        except (OSError, EOFError, values.BadValueError) as error:
            sentence = "the process that runs the tests ended in the middle of its work"
            raise Stopped(self.step, "crashed", sentence) from error

    def _wait(self, stream: socket.socket) -> None:
        """Wait for a message; raise Stopped where time or memory is over."""
        while not select.select([stream], [], [], 0.05)[0]:
            if time.monotonic() > self.until:
                whole = self.until >= self.grader.deadline
                seconds = self.limits.notebook if whole else self.limits.call
                sentence = f"over time: stopped after {seconds:.0f} seconds"
                raise Stopped(self.step, "over time", sentence)
            for sandbox in self.sandboxes.values():
                if sandbox.memory() > self.limits.memory:
                    sentence = f"over memory: more than {self.limits.memory // 2**20:,} MiB"
                    raise Stopped(self.step, "over memory", sentence)

    def _take(self, message: dict[str, Any]) -> None:
        """Do what the judge asks for, or keep what it tells. Texts are cleaned here, again."""
        steps = {step["id"] for step in self.grader.steps}
        if message.get("need") in ("worker", "clean"):
            self._start(message["need"])
        elif message.get("at") in steps:
            self.step = message["at"]
            self.until = min(time.monotonic() + self.limits.call, self.grader.deadline)
        elif message.get("ran") == self.step:
            self.grader.ran(self.step, message.get("told"))
        elif message.get("judged") == self.step and message.get("status") in STATUSES:
            text = values.clean(message.get("message"), 2_000)
            self.grader.judged[self.step] = message["status"], text, bool(message.get("hidden"))
        elif message.get("ended") == self.step:
            status = "tampered" if message.get("status") == "tampered" else "crashed"
            raise Stopped(self.step, status, values.clean(message.get("message"), 500))
        else:
            raise values.BadValueError("the judge said what it cannot have to say")

    def _start(self, role: str) -> None:
        """Start the worker, or the clean process, and hand the judge the way to it."""
        if role in self.sandboxes:
            raise values.BadValueError("there is one already")
        sandbox = self.grader.zygote.sandbox("worker", data=role == "worker")
        self.sandboxes[role] = sandbox
        socket.send_fds(self.judge.stream, [b"f"], [sandbox.stream.fileno()])
        sandbox.stream.close()  # so that the judge notices when the process ends

    def close(self) -> None:
        """End all processes of this attempt."""
        for sandbox in self.sandboxes.values():
            sandbox.kill()


def grade(path: Path, submission: Any, zygote: Zygote) -> Result:
    """Return the grade of a notebook against the master at ``path``."""
    return Grader(path, submission, zygote).run()
