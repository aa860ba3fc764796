"""The tests of one submission: run its cells and the checks of the master, in their order.

This process has the master's checks and no code of a student's. It handles values that a student
chose, so it is in a sandbox itself: it can be killed like the process that runs the answers.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import io
import os
import re
import socket
from typing import Any

from tools.grading import values
from tools.grading.remote import Ended, Room

MISSED = re.compile(r"name '(\w+)' is not defined")
INSIDE = {"keras", "tf"}  # modules of the tests that are the clean process's


class Judge:
    """One run over a submission's plan: its cells and checks, in the order of the notebook."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        message, _ = values.receive(control)
        self.plan: dict[str, Any] = message["plan"]
        os.environ["COURSE_SEED"] = self.plan["seed"]
        self.space: dict[str, Any] = {"__name__": "__main__", "os": os}
        for name, source in self.plan["space"]:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(source, f"<{name}>", "exec"), self.space)
        self.room = Room(self.fetch, self.plan["clean"])
        self.of_clean = INSIDE.union(
            *(names_assigned(source) for _, source in self.plan["clean"])
        ) - set(self.space)

    def fetch(self, role: str) -> socket.socket:
        """Return the way to a new process, which the outside makes."""
        self.tell(need=role)
        _, (file,), *_ = socket.recv_fds(self.control, 1, 1)
        return socket.socket(fileno=file)

    def tell(self, **message: Any) -> None:
        """Tell the outside how far the run is."""
        values.send(self.control, message, [])

    def run(self) -> None:
        """Take each step of the plan; stop when a process has ended."""
        for step in self.plan["steps"]:
            if step["kind"] == "check" and not self.plan["checks"]:
                continue
            self.tell(at=step["id"])
            try:
                if step["kind"] == "cell":
                    self.tell(ran=step["id"], told=self.cell(step))
                else:
                    self.tell(judged=step["id"], **self.check(step))
            except Ended as ended:
                self.tell(ended=step["id"], status=ended.status, message=str(ended))
                return
        self.tell(end=True)

    def cell(self, step: dict[str, Any]) -> dict[str, Any]:
        """Run a cell of the student's; return what it printed, and its error.

        In a notebook the visible part of a check leaves its names behind. Where a cell misses one,
        that part is run in the student's process, too, and the cell once more.
        """
        told = self.room.student.ask("run", step["source"], step["id"])
        kind, text, *_ = _error(told)
        match = MISSED.match(str(text)) if kind == "NameError" else None
        before = self.plan["steps"][: self.plan["steps"].index(step)] if match else []
        for earlier in reversed(before):
            if earlier["kind"] == "check" and match and match[1] in names_assigned(earlier["seen"]):
                self.room.student.ask("run", earlier["seen"], earlier["id"])
                told = self.room.student.ask("run", step["source"], step["id"])
                break
        return told if isinstance(told, dict) else {}

    def check(self, step: dict[str, Any]) -> dict[str, Any]:
        """Run a check cell, with stand-ins for the student's names; return what became of it."""
        try:
            names = dict(self.space)
            for name in sorted(names_in(step["source"]) - set(names) - set(vars(builtins))):
                inside = self.room.clean if name in self.of_clean else self.room.student
                found = inside.ask("get", name)
                if isinstance(found, list) and found:
                    names[name] = found[0]
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(step["source"], f"<{step['id']}>", "exec"), names)
        except Exception as error:
            return failure(step, error)
        return {"status": "passed", "message": "", "hidden": False}


def _error(told: Any) -> list[Any]:
    """Return [kind, text, ...] of the error of a cell, or two empty texts."""
    error = told.get("error") if isinstance(told, dict) else None
    return error if isinstance(error, list) and len(error) >= 2 else ["", ""]


def failure(step: dict[str, Any], error: Exception) -> dict[str, Any]:
    """Return what became of a check that raised, with a message for the student.

    What a student's code raises in a hidden test could carry the test's numbers out, so of that
    only the kind is told.
    """
    lines = step["source"].split("\n")
    start = next((n for n, line in enumerate(lines, 1) if "BEGIN HIDDEN" in line), len(lines) + 1)
    trace, at = error.__traceback__, 0
    while trace:
        if trace.tb_frame.f_code.co_filename == f"<{step['id']}>":
            at = at or trace.tb_lineno
        trace = trace.tb_next
    hidden, of_student = at >= start, getattr(error, "of_student", False)
    kind = type(error).__name__
    if hidden and (of_student or not isinstance(error, AssertionError)):
        text = (
            f"your code raised {kind}" if of_student else f"the result was of another kind ({kind})"
        )
    else:
        text = str(error).strip() or kind
        text = text if isinstance(error, AssertionError) and not of_student else f"{kind}: {text}"
    status = "not answered" if "is still to do" in text and not of_student else "failed"
    return {"status": status, "message": values.clean(text, 2_000), "hidden": hidden}


def names_in(source: str) -> set[str]:
    """Return the names that a piece of code uses, imports included."""
    tree = list(ast.walk(ast.parse(source)))
    imported = [a for n in tree if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names]
    return {n.id for n in tree if isinstance(n, ast.Name)} | {
        (alias.asname or alias.name).split(".")[0] for alias in imported
    }


def names_assigned(source: str) -> set[str]:
    """Return the names that a piece of code defines at its top level or anywhere in it."""
    tree = list(ast.walk(ast.parse(source)))
    stored = {n.id for n in tree if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return stored | {n.name for n in tree if isinstance(n, ast.FunctionDef | ast.ClassDef)}


def main(control: socket.socket) -> None:
    """Judge the submission whose plan comes through the socket."""
    with contextlib.suppress(EOFError, OSError):
        Judge(control).run()
