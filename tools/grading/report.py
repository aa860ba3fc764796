"""What the instructor and the students get: tables, a summary of the class, and feedback.

A run's marks are kept in marks.json, so that the next run can say whose marks have moved.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tools.grading import marks, names
from tools.grading.marks import Mark, Rows, total
from tools.grading.score import Result
from tools.grading.submissions import Submission

__all__ = ["Rows", "feedback", "summary", "total", "write_all", "write_marks", "write_table"]

STYLE = """
:root { color-scheme: light dark; --line: #ccc; --soft: #f4f4f4; --good: #00563f; --bad: #8f2c00 }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 1.5rem auto; padding: 0 1rem;
overflow-wrap: anywhere; background: #fff; color: #1a1a1a }
h1 { font-size: 1.5rem; line-height: 1.25 } h2 { font-size: 1.15rem; margin: 0 }
section { border-top: 1px solid var(--line); padding: .8rem 0 }
header.q { display: flex; justify-content: space-between; gap: 1rem; align-items: baseline }
.points { white-space: nowrap } .passed { color: var(--good) } .failed { color: var(--bad) }
table { border-collapse: collapse; width: 100% } th { overflow-wrap: normal }
td, th { text-align: left; vertical-align: top;
padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line) } td.n, th.n { text-align: right;
white-space: nowrap } .wide { overflow-x: auto }
pre { white-space: pre-wrap; background: var(--soft); padding: .6rem; margin: .3rem 0;
font-size: .875rem } p { margin: .4rem 0 } summary { cursor: pointer } blockquote { margin: .4rem 0;
padding-left: .8rem; border-left: 3px solid var(--line); white-space: pre-wrap }
img { max-width: 100%; height: auto } a { color: #00563f }
@media (prefers-color-scheme: dark) { :root { --line: #555; --soft: #222; --good: #6fd3b0;
--bad: #ffa178 } body { background: #121212; color: #eee } img { background: #fff }
a { color: #9cf } }
"""
HIDDEN = "A test that you cannot see failed: "
TABLE = [
    "student", "id", "assignment", "question", "tests", "points", "after_late", "maximum",
    "to_read", "status", "comment", "file",
]  # fmt: skip
MOVED = 20  # moves that are printed; the summary has all


def write_all(rows: Rows, out: Path) -> None:
    """Write the tables, marks.json, summary.html and the feedback into the folder ``out``.

    Prints whose marks have moved since the last run into the same folder.
    """
    out.mkdir(parents=True, exist_ok=True)
    now, before = _state(rows), _last(out / "marks.json")
    moved = moves(before, now)
    with marks.renewed(out / "feedback") as folder:
        for submission, result in rows:
            marks.write_file(folder / f"{submission.key}.html", page_of(submission, result))
    write_table(rows, out / "grades.csv")
    write_marks(rows, out / "marks.csv")
    marks.write_file(out / "summary.html", summary(rows, moved))
    marks.write_file(out / "marks.json", json.dumps(now, indent=1, ensure_ascii=False) + "\n")
    for line in moved[:MOVED]:
        print(f"moved: {line}")
    if len(moved) > MOVED:
        print(f"moved: {len(moved) - MOVED} more, in {out / 'summary.html'}")


def page_of(submission: Submission, result: Result) -> str:
    """Return a student's page; if something in it cannot be shown, a page without details."""
    try:
        return feedback(submission, result)
    except Exception as error:  # whatever it is, it is this student's page alone
        told = f"The details could not be shown ({type(error).__name__}). Ask your instructor."
        points = marks.block(str(marks.standing(submission, result)))
        return page(marks.title(submission.assignment), f"<p><b>{points}</b></p><p>{told}</p>")


# Tables


def write_table(rows: Rows, file: Path) -> None:
    """Write a line for each question and a total line for each submission.

    What was not graded has no points: an empty field, never 0. The file has a mark in front by
    which Excel knows it as UTF-8.
    """
    lines = [TABLE]
    for submission, result in rows:
        who = [marks.who(submission), submission.student.id, submission.assignment]
        for mark in map(marks.mark_of, result.questions):
            to_read = marks.number(mark.maximum) if mark.points is None else ""
            told = [mark.name, marks.number(mark.tested), marks.number(mark.points), ""]
            told += [marks.number(mark.maximum), to_read, mark.status, mark.comment, ""]
            lines.append([*who, *told])
        stands = marks.standing(submission, result)
        told = ["total", "", marks.number(stands.points), marks.number(stands.after)]
        told += [marks.number(stands.maximum), marks.number(stands.unread) if stands.unread else ""]
        lines.append([*who, *told, result.status, result.sentence, submission.file])
    _write_csv(lines, file)


def write_marks(rows: Rows, file: Path) -> None:
    """Write a line for each student: the points of each exercise, after the rule for late work.

    The total is that of what was graded; "of" is the maximum of all exercises of the run.
    """
    exercises = _exercises(rows)
    most = sum(map(marks.maximum_of, exercises))
    lines = [["name", "id", "email", "section", *exercises, "total", "of", "to_read"]]
    for student, its in by_person(rows):
        stands = {stem: marks.standing(*its[stem]) for stem in its}
        after = [stands[stem].after if stem in stands else None for stem in exercises]
        known = [value for value in after if value is not None]
        unread = sum(one.unread for one in stands.values())
        line = [student.who, student.student.id, student.student.email, student.student.section]
        line += [*map(marks.number, after), marks.number(sum(known) if known else None)]
        lines.append([*line, marks.number(most), marks.number(unread) if unread else ""])
    _write_csv(lines, file)


def _write_csv(lines: Iterable[list[str]], file: Path) -> None:
    """Write a table as Excel and everybody else reads it, with no formula in it."""
    text = io.StringIO()
    csv.writer(text).writerows([marks.cell_text(cell) for cell in line] for line in lines)
    marks.write_file(file, text.getvalue(), "utf-8-sig")


def _exercises(rows: Rows) -> list[str]:
    return sorted({submission.assignment for submission, _ in rows if submission.assignment})


def by_person(rows: Rows) -> list[tuple[Submission, dict[str, tuple[Submission, Result]]]]:
    """Return for each person a hand-in that names them, and the ones that count by exercise.

    Two that cannot be told apart, with two hand-ins that both count, stay two.
    """
    found: list[tuple[Submission, dict[str, tuple[Submission, Result]]]] = []
    of: dict[Any, list[int]] = defaultdict(list)
    for submission, result in rows:
        if not submission.counts:
            continue
        who = marks.person(submission)
        free = (n for n in of[who] if submission.assignment not in found[n][1])
        place = next(free, None)
        if place is None:
            place = len(found)
            of[who].append(place)
            found.append((submission, {}))
        found[place][1][submission.assignment] = (submission, result)
    return found


# Whose marks have moved


def _state(rows: Rows) -> dict[str, Any]:
    """Return what is kept of a run, by key: the name, the exercise, the digest, the points."""
    return {
        submission.key: {
            "who": marks.who(submission),
            "exercise": submission.assignment,
            "digest": submission.digest,
            "status": result.status,
            "total": marks.standing(submission, result).after,
            "points": {question.name: question.points for question in result.questions},
        }
        for submission, result in rows
    }


def _last(file: Path) -> dict[str, Any]:
    """Return the state of the last run; nothing if there was none, or if it cannot be read."""
    try:
        found = json.loads(file.read_text("utf-8"))
        return {
            key: dict(state) | {"points": dict(state["points"])} for key, state in found.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def moves(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return a line for each mark that is another than in the run before.

    Points of an answer that was read for the first time are no move.
    """
    exercises = {state["exercise"] for state in now.values()}
    found = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if old is None or (new is None and old.get("exercise") not in exercises):
            continue
        found += _moves_of(old, new)
    return found


def _moves_of(old: dict[str, Any], new: dict[str, Any] | None) -> list[str]:
    who = f"{old.get('who')} {old.get('exercise')}"
    if new is None or (old["points"] and not new["points"]):
        if old.get("total") is None:
            return []
        status = new["status"] if new else "gone"
        return [f"{who} {marks.number(old['total'])} -> {status}"]
    if not old["points"] and new["points"]:
        return [f"{who} {old.get('status')} -> {marks.number(new['total'])}"]
    again = " (handed in again)" if old.get("digest") != new["digest"] else ""
    found = []
    for name, points in new["points"].items():
        last = old["points"].get(name)
        if last is not None and last != points:
            told = "to be read" if points is None else marks.number(points)
            found.append(f"{who} {name} {marks.number(last)} -> {told}{again}")
    if not found and old["points"] == new["points"] and old.get("total") != new["total"]:
        told = f"{marks.number(old.get('total'))} -> {marks.number(new['total'])}"
        found.append(f"{who} {told} (late)")
    return found


# Pages


def page(title: str, body: str) -> str:
    """Return a whole HTML page that needs nothing from elsewhere."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main><h1>{html.escape(title)}</h1>{body}</main></body></html>\n"
    )


def feedback(submission: Submission, result: Result) -> str:
    """Return a student's page: what passed, what did not and why, and what a person says."""
    stands = marks.standing(submission, result)
    parts = [f"<p>{marks.shown(submission.who, 200)}</p>"]
    if submission.file:
        at = f", {submission.at:%Y-%m-%d %H:%M}" if submission.at else ""
        parts.append(f"<p><small>{marks.shown(submission.file)}{at}</small></p>")
    if stands.points is None or result.status not in ("graded", ""):
        told = f"<b>{marks.block(result.status)}</b>: {marks.block(result.sentence)}"
        parts.append(f"<p class='failed'>{told}</p>")
    if stands.points is not None:
        parts.append(f"<p><b>{marks.block(str(stands))}</b></p>")
        if submission.factor != 1:
            left = f"{submission.factor * 100:g} % count: {marks.points(stands.after or 0.0)}"
            parts.append(f"<p>Handed in late, so {left}.</p>")
    for note in [*submission.notes, *result.notes]:
        parts.append(f"<p>Note: {html.escape(names.visible(note, 1_000))}</p>")
    parts += [_section(marks.mark_of(question), result) for question in result.questions]
    parts += _other_cells(result)
    return page(
        marks.title(submission.assignment) or names.visible(submission.file), "".join(parts)
    )


def _section(mark: Mark, result: Result) -> str:
    """Return one question's part of a feedback page. No line of a hidden test is in it."""
    answer = marks.answer_of(mark.name)
    got = "–" if mark.points is None else marks.number(mark.points)
    good = mark.points is not None and mark.points >= mark.maximum
    kind = "passed" if good else "" if mark.tested is None or mark.points else "failed"
    parts = [
        f"<section><header class='q'><h2>Question {mark.name.rpartition('-')[2]}</h2>"
        f"<span class='points'><b>{got}</b> of {marks.number(mark.maximum)}</span></header>"
        f"<p><b class='{kind}'>{marks.block(mark.status)}</b> {_told(mark)}</p>"
    ]
    if mark.message and mark.tested_status != "passed":
        prefix = HIDDEN if mark.hidden else ""
        parts.append(f"<pre>{marks.block(prefix + mark.message)}</pre>")
    if mark.comment:
        parts.append(f"<p>Comment:</p><blockquote>{marks.block(mark.comment)}</blockquote>")
    error = _stopped(result, answer)
    if error:
        parts.append(f"<p>Your cell stopped:</p><pre>{marks.block(error)}</pre>")
    if mark.text:
        is_open = " open" if mark.tested is None else ""
        what = "Your answer" if mark.tested is None else "Your code"
        code = marks.block(mark.text)
        parts.append(f"<details{is_open}><summary>{what}</summary><pre>{code}</pre></details>")
    return "".join(parts) + "</section>"


def _told(mark: Mark) -> str:
    """Return what is to be said of how a question got its points."""
    extra = f", {marks.number(mark.extra)} of them extra credit" if mark.extra else ""
    if mark.status == marks.CHANGED:
        tests = f"the tests gave {marks.number(mark.tested)} ({marks.block(mark.tested_status)})"
        return f"{tests}, a person gave {marks.number(mark.points)}{extra}"
    if mark.status == marks.READ:
        return f"by a person{extra}"
    if mark.before is not None:
        before = marks.points(mark.before)
        later = "it will be read again" if mark.tested is None else "the tests' points count"
        return f"an earlier answer got {before} from a person; this one is another, and {later}"
    return "Your answer in words is read by a person." if mark.tested is None else ""


def _stopped(result: Result, name: str) -> str:
    """Return what stopped a cell, with the line; what it printed may hold a hidden test's data."""
    told = result.printed.get(name)
    error = told.get("error") if isinstance(told, dict) else None
    return str(error[-1]) if isinstance(error, list | tuple) and error else ""


def _other_cells(result: Result) -> list[str]:
    """Return what stopped in cells that are no question's: the student's own, the imports."""
    answers = {marks.answer_of(question.name) for question in result.questions}
    parts = []
    for name in result.printed:
        error = _stopped(result, name)
        if error and name not in answers:
            what = f"<pre>{marks.block(error)}</pre>"
            parts.append(f"<p>Cell {marks.shown(name)} stopped:</p>{what}")
    return [f"<section><h2>Other cells</h2>{''.join(parts)}</section>"] if parts else []


# The class


def summary(rows: Rows, moved: list[str] | None = None) -> str:
    """Return the class's page: what moved, and for each exercise points, questions and remarks."""
    parts = [_overview(rows)]
    if moved:
        lines = "".join(f"<li>{marks.shown(line)}</li>" for line in moved)
        parts.append(f"<h2>Moved since the last run: {len(moved)}</h2><ul>{lines}</ul>")
    for assignment in [*_exercises(rows), ""]:
        its = [(s, result) for s, result in rows if s.assignment == assignment]
        if its:
            title = marks.block(marks.title(assignment) or "No exercise was recognised")
            counting = [(s, result) for s, result in its if s.counts]
            body = f"{_picture(counting)}{_totals(counting)}{_questions(counting)}{_remarks(its)}"
            body += _everybody(its)
            parts.append(f"<section><h2>{title}</h2>{body}</section>")
    return page("The class", "".join(parts))


def _overview(rows: Rows) -> str:
    people = len(by_person(rows))
    handed_in = [s for s, _ in rows if s.status != "not handed in"]
    told = f"{_count(len(handed_in), 'hand-in')}, {_count(people, 'student')}"
    listed = {marks.person(s) for s, _ in rows if s.student.listed}
    if listed:
        told += f" ({len(listed)} on the roster)"
    unread = sum(q.points is None for _, result in rows for q in result.questions)
    if unread:
        told += f". {_count(unread, 'answer')} still to be read; those marks are so far"
    return f"<p>{told}.</p>"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _totals(rows: Rows) -> str:
    """Return the middle of the points, and the time that grading took."""
    stands = [marks.standing(submission, result) for submission, result in rows]
    points = [one.points for one in stands if one.points is not None]
    if not points:
        return ""
    seconds = [result.seconds for _, result in rows if result.questions]
    middle = marks.number(statistics.median(points))
    told = f"{_count(len(points), 'graded hand-in')}. Median {middle} of "
    told += f"{marks.points(max(one.maximum for one in stands))}; "
    told += f"seconds for one: median {statistics.median(seconds):.1f}, longest {max(seconds):.1f}."
    return f"<p>{told}</p>"


def _questions(rows: Rows) -> str:
    """Return a table: for each question the share of full marks, and the commonest failure."""
    of: dict[str, list[Mark]] = defaultdict(list)
    for _, result in rows:
        for question in result.questions:
            of[question.name].append(marks.mark_of(question))
    lines = []
    for name, its in sorted(of.items(), key=lambda item: _place(item[0])):
        known = [mark for mark in its if mark.points is not None]
        full = sum(mark.points >= mark.maximum for mark in known if mark.points is not None)
        share = f"{full / len(known):.0%}" if known else "–"
        share += f" of {len(known)}" if known and len(known) < len(its) else ""
        mean = marks.number(float(np.mean([m.points for m in known]))) if known else "–"
        told = [_commonest(its)]
        for status, words in (("not answered", "not answered"), ("to read", "to be read")):
            count = sum(
                mark.tested_status == status and (status != "to read" or mark.points is None)
                for mark in its
            )
            told += [f"{count} {words}"] if count else []
        lines.append(
            f"<tr><td>{name.rpartition('-')[2]}</td><td class='n'>{share}</td><td class='n'>"
            f"{mean} of {marks.number(its[0].maximum)}</td>"
            f"<td>{'. '.join(filter(None, told))}</td></tr>"
        )
    head = "<tr><th>question</th><th class='n'>full marks</th><th class='n'>mean</th>"
    head += "<th>most frequent failure</th></tr>"
    return f"<div class='wide'><table>{head}{''.join(lines)}</table></div>" if lines else ""


def _place(name: str) -> tuple[int, str]:
    number = name.rpartition("-")[2]
    return (int(number) if number.isdigit() else 0), name


def _commonest(its: list[Mark]) -> str:
    """Return what failed most often in the tests of a question, and how often."""
    failed = [mark for mark in its if mark.tested_status not in marks.NO_FAILURE]
    failures = Counter(
        (HIDDEN if mark.hidden else "") + (mark.message or mark.tested_status) for mark in failed
    )
    if not failures:
        return ""
    message, times = failures.most_common(1)[0]
    often = "once" if times == 1 else f"{times} times"
    return f"{html.escape(names.visible(message, 400))} ({often} of {len(failed)})"


def _remarks(rows: Rows) -> str:
    """Return lists of who is missing, late, unknown, and who handed in wrongly or twice."""
    roster = any(submission.student.listed for submission, _ in rows)
    kinds: dict[str, Rows] = defaultdict(list)
    for submission, result in rows:
        if submission.status == "not handed in":
            kinds["Not handed in"].append((submission, result))
            continue
        if roster and not submission.student.listed:
            kinds["On no line of the roster"].append((submission, result))
        if not submission.counts:
            kinds["Handed in more than once: these do not count"].append((submission, result))
        elif result.status not in ("graded", ""):
            kinds["Not as usual"].append((submission, result))
        if submission.counts and is_late(submission):
            kinds["Late"].append((submission, result))
    parts = []
    for kind, its in kinds.items():
        lines = "".join(_remark(kind, *row) for row in its)
        parts.append(f"<h3>{kind}: {len(its)}</h3><ul>{lines}</ul>")
    return "".join(parts)


def _everybody(rows: Rows) -> str:
    """Return a table of all hand-ins, folded: the name with a link to the page, and the points."""
    lines = []
    for submission, result in rows:
        stands = marks.standing(submission, result)
        after = f" (late: {marks.number(stands.after)})" if submission.factor != 1 else ""
        told = f"{stands}{after}" if stands.points is not None else result.status
        name = _name(submission)
        lines.append(f"<tr><td>{name}</td><td>{html.escape(names.visible(told))}</td></tr>")
    body = f"<div class='wide'><table>{''.join(lines)}</table></div>"
    return f"<details><summary>All {len(rows)}</summary>{body}</details>"


def _name(submission: Submission) -> str:
    """Return a student's name with a link to the page of this hand-in."""
    link = marks.block(f"feedback/{submission.key}.html")
    return f"<a href='{link}'>{marks.shown(submission.who, 200)}</a>"


def is_late(submission: Submission) -> bool:
    """Return whether a hand-in came late, by the rule or by what the export tells."""
    told = ("late", "the system marks it as late")
    return submission.factor != 1 or any(note.startswith(told) for note in submission.notes)


def _remark(kind: str, submission: Submission, result: Result) -> str:
    """Return a line of a list of hand-ins."""
    told = ""
    if kind == "Late":
        stands = marks.standing(submission, result)
        notes = [note for note in submission.notes if note.startswith(("late", "the system"))]
        told = "; ".join(notes)
        if stands.points is not None and submission.factor != 1:
            told += f"; {marks.number(stands.points)} before, {marks.number(stands.after)} after"
    elif kind.startswith("On no"):
        told = next((note for note in submission.notes if note.startswith("whose?")), "")
        told = f"{submission.file} {told}"
    elif kind != "Not handed in":
        told = f"{result.status}: {result.sentence}"
    name = _name(submission)
    return f"<li>{name} {marks.shown(told)}</li>" if told else f"<li>{name}</li>"


def _picture(rows: Rows) -> str:
    """Return an histogram of the totals as an image in the page."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    stands = [marks.standing(submission, result) for submission, result in rows]
    got = [one.points for one in stands if one.points is not None]
    if not got:
        return ""
    top = int(max(one.maximum for one in stands))
    counts = np.bincount([min(int(points), top) for points in got], minlength=top + 1)
    figure = Figure(figsize=(6, 2.4), dpi=110, layout="constrained")
    ax = figure.subplots()
    ax.bar(range(top + 1), counts, color="0.35")
    ax.set(xlabel="points, before the rule for late work", ylabel="students")
    ax.set_xticks(range(top + 1))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    file = io.BytesIO()
    figure.savefig(file, format="png")
    told = ", ".join(f"{count} with {points}" for points, count in enumerate(counts) if count)
    data = base64.b64encode(file.getvalue()).decode()
    return f'<p><img alt="Students by points: {told}." src="data:image/png;base64,{data}"></p>'
