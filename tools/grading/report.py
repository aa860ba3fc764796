"""What the instructor and the students get: a table, a summary with a picture, and feedback."""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import html
import io
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from tools import notebooks
from tools.grading.score import Question, Result
from tools.grading.submissions import Submission

Rows = list[tuple[Submission, Result]]
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .3rem .6rem;
border-bottom: 1px solid #ccc; vertical-align: top } td.n, th.n { text-align: right }
pre { white-space: pre-wrap; background: #f4f4f4; padding: .6rem; margin: .3rem 0 }
img { max-width: 100% } .passed { color: #00563f } .failed { color: #8f2c00 }
@media (prefers-color-scheme: dark) { body { background: #121212; color: #eee }
pre { background: #222 } .passed { color: #6fd3b0 } .failed { color: #ffa178 }
img { background: white } a { color: #9cf } }
"""
HIDDEN = "A test that you cannot see failed: "


def write_all(rows: Rows, out: Path) -> None:
    """Write grades.csv, summary.html and the feedback pages into the folder ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    write_table(rows, out / "grades.csv")
    (out / "summary.html").write_text(summary(rows), encoding="utf-8")
    for submission, result in rows:
        folder = out / "feedback" / safe_name(submission.student)
        folder.mkdir(parents=True, exist_ok=True)
        page = feedback(submission, result)
        (folder / f"{submission.assignment or 'unknown'}.html").write_text(page, encoding="utf-8")


def safe_name(name: str) -> str:
    """Return a student's name as the name of a file; other names give other names of files."""
    plain = re.sub(r"[^\w .()@+-]", "_", name)[:80].strip(". ")
    if plain == name:
        return plain
    return f"{plain or 'student'}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def total(result: Result) -> tuple[float | None, float]:
    """Return the points and their maximum; None for the points if nothing was run.

    A written answer is counted in neither, until a person has given its points.
    """
    tested = [q for q in result.questions if q.points is not None]
    maximum = sum(q.maximum for q in tested)
    return (sum(q.points or 0.0 for q in tested) if result.questions else None), maximum


def write_table(rows: Rows, file: Path) -> None:
    """Write a line for each question and a total line for each submission.

    What was not graded has no points: an empty field, never 0.
    """
    with file.open("w", newline="", encoding="utf-8") as target:
        table = csv.writer(target)
        table.writerow(["student", "assignment", "question", "points", "maximum", "status", "file"])
        for submission, result in rows:
            who = [cell_text(submission.student), submission.assignment]
            for question in result.questions:
                points = "" if question.points is None else f"{question.points:g}"
                maximum = f"{question.maximum:g}"
                table.writerow([*who, question.name, points, maximum, question.status, ""])
            points_, maximum_ = total(result)
            shown = "" if points_ is None else f"{points_:g}"
            line = [*who, "total", shown, f"{maximum_:g}", result.status]
            table.writerow([*line, cell_text(submission.file)])


def cell_text(text: str) -> str:
    """Return a text that a spreadsheet does not take for a formula."""
    return "'" + text if text[:1] in "=+-@\t\r" else text


def page(title: str, body: str) -> str:
    """Return a whole HTML page that needs nothing from elsewhere."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main><h1>{html.escape(title)}</h1>{body}</main></body></html>\n"
    )


def feedback(submission: Submission, result: Result) -> str:
    """Return a student's page: what passed, what did not, and the message of each failed check."""
    points, maximum = total(result)
    parts = [f"<p>{html.escape(submission.student)}</p>"]
    if points is None:
        parts.append(
            f"<p class='failed'><b>{result.status}</b>: {html.escape(result.sentence)}</p>"
        )
    else:
        parts.append(f"<p><b>{points:g} of {maximum:g} points</b> from the tests.</p>")
    for note in [*submission.notes, *result.notes]:
        parts.append(f"<p>Note: {html.escape(note)}.</p>")
    lines = [_line(question, result) for question in result.questions]
    if lines:
        head = "<tr><th>question</th><th class='n'>points</th><th>result</th></tr>"
        parts.append(f"<table>{head}{''.join(lines)}</table>")
    return page(title(submission.assignment) or submission.file, "".join(parts))


@functools.cache
def title(assignment: str) -> str:
    """Return the title of an exercise, or the name itself if there is none."""
    for path in notebooks.masters():
        if path.stem == assignment:
            return str(notebooks.read(path).cells[0].source.splitlines()[0].lstrip("# "))
    return assignment


def _line(question: Question, result: Result) -> str:
    """Return one question's row of a feedback page. No line of a hidden test is in it."""
    points = "–" if question.points is None else f"{question.points:g}"
    text = html.escape((HIDDEN if question.hidden else "") + question.message)
    if question.status == "to read":
        text = "Your answer in words is read by a person."
    answer = result.printed.get(question.name.replace("check", "answer"), {})
    error = answer.get("error") if isinstance(answer, dict) else None
    if error:
        text += f"<pre>Your cell stopped: {html.escape(str(error[2]))}</pre>"
    kind = question.status if question.status in ("passed", "to read") else "failed"
    return (
        f"<tr><td>{question.name.rpartition('-')[2]}</td>"
        f"<td class='n'>{points} of {question.maximum:g}</td>"
        f"<td><b class='{kind}'>{question.status}</b> {text}</td></tr>"
    )


def summary(rows: Rows) -> str:
    """Return the class's page: an histogram; for each question who passed, and what failed most."""
    by_assignment: dict[str, Rows] = defaultdict(list)
    for submission, result in rows:
        by_assignment[submission.assignment or "unknown"].append((submission, result))
    parts = []
    for assignment, its in sorted(by_assignment.items()):
        parts.append(f"<h2>{html.escape(title(assignment))}</h2>{_picture(its)}{_questions(its)}")
        states = Counter(result.status for _, result in its if result.status != "graded")
        if states:
            parts.append("<h3>Not as usual</h3><table>")
            for submission, result in its:
                if result.status != "graded":
                    parts.append(
                        f"<tr><td>{html.escape(submission.student)}</td><td>{result.status}</td>"
                        f"<td>{html.escape(result.sentence)}</td></tr>"
                    )
            parts.append("</table>")
    return page(f"{len(rows)} submissions", "".join(parts))


def _questions(rows: Rows) -> str:
    """Return a table: each question, the share who passed, and the commonest failure."""
    of: dict[str, list[Question]] = defaultdict(list)
    for _, result in rows:
        for question in result.questions:
            of[question.name].append(question)
    lines = []
    for name, questions in of.items():
        if questions[0].points is None:
            continue
        share = np.mean([question.status == "passed" for question in questions])
        failures = Counter(q.message for q in questions if q.status == "failed")
        most = failures.most_common(1)
        times = "once" if most and most[0][1] == 1 else f"{most[0][1]} times" if most else ""
        what = f"{html.escape(most[0][0])} ({times})" if most else ""
        lines.append(
            f"<tr><td>{name.rpartition('-')[2]}</td><td class='n'>{share:.0%}</td>"
            f"<td>{what}</td></tr>"
        )
    head = "<tr><th>question</th><th class='n'>passed</th><th>commonest failure</th></tr>"
    return f"<table>{head}{''.join(lines)}</table>" if lines else ""


def _picture(rows: Rows) -> str:
    """Return an histogram of the totals as an image in the page."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    totals = [
        (points, maximum) for points, maximum in (total(r) for _, r in rows) if points is not None
    ]
    if not totals:
        return ""
    top = int(max(maximum for _, maximum in totals))
    counts = np.bincount([int(points) for points, _ in totals], minlength=top + 1)
    figure = Figure(figsize=(6, 2.4), dpi=110, layout="constrained")
    ax = figure.subplots()
    ax.bar(range(top + 1), counts, color="0.35")
    ax.set(xlabel="points of the tests", ylabel="students", xticks=range(top + 1))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    file = io.BytesIO()
    figure.savefig(file, format="png")
    told = ", ".join(f"{count} with {points}" for points, count in enumerate(counts) if count)
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="Students by points: {told}." src="data:image/png;base64,{data}">'
