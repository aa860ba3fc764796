"""The marks and the feedback as each system imports them, in the folder exports/.

What a system knows its students and columns by comes from its own table, where that was the roster:
it goes back as it came. Without it, the ids that the hand-ins' names hold are used. Only columns
that say who a student is, and those of the run's exercises, are in a file: other marks may have
changed in the system since.

A student who handed in nothing keeps what the system's table says (a mark by hand, "EX"); what was
handed in and could not be graded has an empty field. Nothing is ever 0 because it was not graded.
"""

from __future__ import annotations

import csv
import html
import io
import os
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tools.grading import marks, names, report
from tools.grading.marks import Rows
from tools.grading.score import Result
from tools.grading.submissions import Submission

# Canvas, lib/gradebook_importer.rb: the first columns are these, in this order; a student is found
# by ID, else by the SIS columns; "TITLE (ID)" is an assignment, any other title asks which one it
# is; a row "Points Possible" sets the assignment's points.
CANVAS = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
CANVAS_WHO = {*CANVAS, "Integration ID", "Root Account", "LastName", "FirstName"}
# Moodle, mod/assign/feedback/offline/importgradeslib.php: "Identifier", "Grade" and "Last modified
# (grade)" have to be there; the number after "Participant " is one for each student AND assignment.
MOODLE = [
    "Identifier", "Full name", "Email address", "Status", "Grade", "Maximum Grade",
    "Grade can be changed", "Last modified (submission)", "Last modified (grade)",
    "Feedback comments",
]  # fmt: skip
# Blackboard's help, "Upload or download grade columns": a student is found by Username, a column by
# the number after "|"; a column without one is made anew. Files are tab-delimited with the ending
# .xls, as it writes them itself (in UTF-16), or comma-delimited.
BLACKBOARD = ["Last Name", "First Name", "Username", "Student ID"]
BLACKBOARD_WHO = {*BLACKBOARD, "Child Course ID", "Last Access", "Availability"}
# Brightspace, "Importing grades" (community.d2l.com, 3538): OrgDefinedId or Username, then "TITLE
# Points Grade", at the end "End-of-Line Indicator" with # in each row; names are not imported.
BRIGHTSPACE = ["OrgDefinedId", "Username"]
END = "End-of-Line Indicator"
# No system knows a student by these; a name may be a formula, since students choose theirs.
NAMES = {"Student", "LastName", "FirstName", "Last Name", "First Name"}
# What a heading is, where it is a mark's.
GRADES = {
    "canvas": re.compile(r"^(?P<title>.+) \(\d+\)$"),
    "blackboard": re.compile(r"^(?P<title>.+?) \[Total Pts: .*\|\d+$"),
    "brightspace": re.compile(r"^(?P<title>.+?) Points Grade\b.*$"),
}
PRINTED = 10  # lines of notes.txt that are printed, too
TASK = r"(?:exercise|ex|assignment|homework|hw|lab|week|과제|실습|숙제|課題|演習)"


@dataclass
class Left:
    """What could not be exported, and what a person should look at."""

    lines: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        """Note a line once."""
        if line not in self.lines:
            self.lines.append(line)


def write_all(rows: Rows, out: Path, system: str = "") -> list[Path]:
    """Write the files for the systems that the hand-ins and the roster come from; return them.

    ``system`` adds one: "canvas", "moodle", "blackboard" or "brightspace". For all others the table
    marks.csv is the export. Prints what a person should look at, which is in notes.txt, too.
    """
    counting = [(s, result) for s, result in rows if s.counts and s.assignment]
    asked = {
        system.lower(),
        *(s.system for s, _ in counting),
        *map(_roster_of, _students(counting)),
    }
    left = Left()
    for stem in _stems(counting):
        _note_unread(_of(counting, stem), stem, left)
    out.mkdir(parents=True, exist_ok=True)
    with marks.renewed(out / "exports") as folder:
        made = []
        for name, write in WRITERS.items():
            if name in asked and counting:
                made += write(counting, folder, left)
        for stem in _stems(counting):
            made += _feedback(_of(counting, stem), folder / f"feedback-{stem}.zip", _plain_name)
        if left.lines:
            made.append(folder / "notes.txt")
            marks.write_file(made[-1], "\n".join(left.lines) + "\n")
    for line in left.lines[:PRINTED]:
        print(f"export: {line}")
    if len(left.lines) > PRINTED:
        print(f"export: {len(left.lines) - PRINTED} more, in {out / 'exports' / 'notes.txt'}")
    return [out / "exports" / file.name for file in made]


def _note_unread(rows: Rows, stem: str, left: Left) -> None:
    """Say how many marks lack points, since nobody has read an answer in words yet."""
    lacking = [stands.unread for stands in (marks.standing(*row) for row in rows) if stands.unread]
    if lacking:
        left.add(
            f"{marks.title(stem)}: not to be imported yet. Marks with an answer still to be read: "
            f"{len(lacking)}, which lack up to {marks.points(max(lacking))}. Run make read, and "
            "then the same make grade again"
        )


def _stems(rows: Rows) -> list[str]:
    return sorted({submission.assignment for submission, _ in rows})


def _of(rows: Rows, stem: str) -> Rows:
    return [(submission, result) for submission, result in rows if submission.assignment == stem]


def _students(rows: Rows) -> Iterable[Submission]:
    return (submission for submission, _ in rows if submission.student.more)


def _roster_of(submission: Submission) -> str:
    """Return the system whose table a student's line comes from, or ""."""
    headings = {heading for heading, _ in submission.student.more}
    known = {
        "canvas": {"Student", "ID", "Section"},
        "moodle": {"Identifier", "Grade"},
        "brightspace": {"OrgDefinedId", END},
        "blackboard": {"Last Name", "First Name", "Username"},
    }
    return next((system for system, needed in known.items() if needed <= headings), "")


# What a system's table says


def _headings(rows: Rows, system: str) -> list[str]:
    """Return the headings of the roster, if it is this system's table."""
    of = (submission for submission in _students(rows) if _roster_of(submission) == system)
    first = next(of, None)
    return [heading for heading, _ in first.student.more] if first else []


def _more(submission: Submission, system: str) -> dict[str, str]:
    """Return a student's line of the system's table."""
    return dict(submission.student.more) if _roster_of(submission) == system else {}


def _column(headings: list[str], stem: str, system: str, left: Left) -> str:
    """Return the heading of an exercise's column in the system's table, or "".

    The exercise's whole title, its title without the number, its file's name and its number are
    looked for, in this order; what fits two columns is none.
    """
    titles = {
        heading: " ".join(re.findall(r"\w+", told["title"].casefold().replace("_", " ")))
        for heading in headings
        if (told := GRADES[system].match(heading))
    }
    words = " ".join(re.findall(r"\w+", marks.title(stem).casefold()))
    bare = words.partition(" ")[2].partition(" ")[2]
    file = stem.replace("_", " ")
    digits = stem.split("_")[0].lstrip("0") or "0"
    tests: list[Callable[[str], bool]] = [
        lambda title: words in title,
        lambda title: file in title,
        lambda title: bool(bare) and bare in title,
        lambda title: bool(re.search(rf"\b{TASK} ?0*{digits}\b", title)),
    ]
    for test in tests:
        found = [heading for heading, title in titles.items() if test(title)]
        if len(found) == 1:
            return found[0]
        if found:
            both = " and ".join(found[:3])
            left.add(f"{system}: {both} may both be {marks.title(stem)}; a new column was made")
            return ""
    if titles:
        left.add(f"{system}: no column of the table is {marks.title(stem)}; a new one was made")
    return ""


def _who(submission: Submission) -> str:
    """Return a student's name, and what tells the student from one of the same name."""
    told = submission.student.id or names.visible(submission.file, 200)
    return f"{marks.who(submission)} ({told})"


def _nothing(its: dict[str, tuple[Submission, Result]]) -> bool:
    """Return whether a student handed in nothing at all."""
    return all(submission.status == "not handed in" for submission, _ in its.values())


def _value(row: tuple[Submission, Result] | None, of_system: str = "") -> str:
    """Return the points of a hand-in for a system, which has ``of_system`` there itself."""
    if row is None or row[0].status == "not handed in":
        return of_system
    return marks.number(marks.standing(*row).after)


def _text(text: str) -> str:
    """Return a name or a comment that no spreadsheet takes for a formula; a lone "-" stays."""
    return marks.cell_text(text, 8_000)


def _write(lines: list[list[str]], file: Path, encoding: str, delimiter: str = ",") -> Path:
    text = io.StringIO()
    if delimiter == "\t":
        csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(lines)
    else:
        csv.writer(text).writerows(lines)
    marks.write_file(file, text.getvalue(), encoding)
    return file


# Canvas


def canvas(rows: Rows, folder: Path, left: Left) -> list[Path]:
    """Write canvas.csv, for Grades > Import, and a zip of feedback for each assignment."""
    headings, stems = _headings(rows, "canvas"), _stems(rows)
    who = [heading for heading in headings if heading in CANVAS_WHO] or CANVAS
    columns = {stem: _column(headings, stem, "canvas", left) for stem in stems}
    head = [columns[stem] or marks.title(stem) for stem in stems]
    most = [marks.number(marks.maximum_of(stem)) for stem in stems]
    lines = [[*who, *head], ["    Points Possible", *[""] * (len(who) - 1), *most]]
    for first, its in report.by_person(rows):
        more = _more(first, "canvas")
        if not more and _nothing(its):
            continue  # an empty field would take away what Canvas has
        more = more or _canvas_ids(first)
        if not any(more.get(name) for name in ("ID", "SIS User ID", "SIS Login ID")):
            left.add(f"canvas: {_who(first)} has no Canvas id and is not in canvas.csv")
            continue
        line = [_text(more.get(h, "")) if h in NAMES else more.get(h, "") for h in who]
        line += [_value(its.get(stem), more.get(columns[stem], "")) for stem in stems]
        lines.append(line)
    made = [_write(lines, folder / "canvas.csv", "utf-8-sig")]
    for stem in stems:
        made += _feedback(_of(rows, stem), folder / f"canvas-feedback-{stem}.zip", _canvas_name)
    return made


def _canvas_ids(submission: Submission) -> dict[str, str]:
    """Return what is known of a student without Canvas's table.

    Canvas's own id stands in the hand-in's name; the id of another roster is the school's.
    """
    student = submission.student
    name = _canvas_name(submission)
    found = re.match(r"[^_]+(?:_LATE)?_(\d+)_", name)
    school = student.id if student.listed else ""
    own = found[1] if found else student.id if student.id.isdecimal() and not school else ""
    return {
        "Student": marks.who(submission),
        "ID": own,
        "SIS User ID": school,
        "SIS Login ID": "" if own or school else student.id or student.email,
        "Section": student.section,
    }


def _canvas_name(submission: Submission) -> str:
    """Return the name under which Canvas knows a file that it handed out itself, as a page.

    Canvas finds the student by the first two numbers between underscores: the student's id and the
    file's (models/assignment.rb, infer_comment_context_from_filename).
    """
    for part in reversed(_parts(submission)):
        if re.match(r"[^_]+(?:_LATE)?_\d+_\d+_", part):
            return part.rpartition(".")[0] + ".html"
    return ""


def _parts(submission: Submission) -> list[str]:
    """Return the names of the zips, folders and the file that a hand-in lay in."""
    return re.split(r" > |/", submission.file)


# Moodle


def moodle(rows: Rows, folder: Path, left: Left) -> list[Path]:
    """Write for each exercise a grading worksheet, and a zip of feedback files."""
    made = []
    headings, stems = _headings(rows, "moodle"), _stems(rows)
    for stem in stems:
        its = _of(rows, stem)
        columns = headings or MOODLE
        lines = [columns]
        for submission, result in its:
            more = _more(submission, "moodle")
            number = _participant(submission, alone=len(stems) == 1)
            if not number and submission.status == "not handed in":
                continue
            if not number:
                who = _who(submission)
                left.add(f"moodle: {who} has no participant's number for {marks.title(stem)}")
                continue
            most = marks.number(marks.maximum_of(stem))
            if more.get("Maximum Grade") and not _same(more["Maximum Grade"], most):
                left.add(f"moodle: the worksheet's maximum is {more['Maximum Grade']}, not {most}")
            lines.append(_worksheet_line(columns, submission, result, number, more))
        made.append(_write(lines, folder / f"moodle-{stem}.csv", "utf-8-sig"))
        name = _moodle_name(alone=len(stems) == 1)
        made += _feedback(its, folder / f"moodle-feedback-{stem}.zip", name)
    return made


def _worksheet_line(
    columns: list[str], submission: Submission, result: Result, number: str, more: dict[str, str]
) -> list[str]:
    """Return a line of a worksheet: what came from Moodle as it came, the grade, the comments."""
    ours = {
        "Identifier": f"Participant {number}",
        "Full name": marks.who(submission),
        "Email address": submission.student.email,
        "Maximum Grade": marks.number(marks.maximum_of(submission.assignment)),
        "Grade can be changed": "Yes",
        "Last modified (grade)": "-",
    }
    line = {heading: more.get(heading, ours.get(heading, "")) for heading in columns}
    line["Identifier"] = ours["Identifier"]
    line["Grade"] = _value((submission, result), more.get("Grade", ""))
    if "Feedback comments" in line and submission.status != "not handed in":
        line["Feedback comments"] = comments(submission, result)
    kept = ("Identifier", "Email address", "ID number", "Grade")
    return [line[h] if h in kept else _text(line[h]) for h in columns]


def _same(text: str, number: str) -> bool:
    try:
        return float(text.replace(",", ".")) == float(number)
    except ValueError:
        return False


def _participant(submission: Submission, alone: bool) -> str:
    """Return Moodle's number of a student in this assignment, or "".

    The name of the hand-in's folder has it. The worksheet that was the roster has it, too, but for
    its own assignment: it is used where the run is of one exercise ``alone``.
    """
    for part in reversed(_parts(submission)):
        if found := re.match(r".+?_(\d+)_assignsubmission_", part):
            return found[1]
    told = _more(submission, "moodle").get("Identifier", "") if alone else ""
    digits = re.search(r"(\d+)\s*$", told)
    return digits[1] if digits else ""


def _moodle_name(alone: bool) -> Callable[[Submission], str]:
    """Return what names a feedback file so that Moodle finds its student.

    Moodle (mod/assign/feedback/file/importziplib.php) cuts the folder's name at underscores into
    name, participant's number, kind and plugin.
    """

    def name(submission: Submission) -> str:
        number = _participant(submission, alone)
        who = _file_name(marks.who(submission)).replace("_", " ")
        return f"{who}_{number}_assignsubmission_file_/feedback.html" if number else ""

    return name


def comments(submission: Submission, result: Result) -> str:
    """Return a hand-in's mark in a few words, as a line of HTML."""
    told = [str(marks.standing(submission, result))]
    if not result.questions:
        told = [f"{result.status}: {result.sentence}".strip(": ")]
    elif submission.factor != 1:
        after = marks.number(marks.standing(submission, result).after)
        told.append(f"late, so {submission.factor * 100:g} % count: {after}")
    for mark in map(marks.mark_of, result.questions):
        got = "to be read" if mark.points is None else marks.number(mark.points)
        said = f" ({mark.comment})" if mark.comment else ""
        told.append(f"{mark.name.rpartition('-')[2]}: {got} of {marks.number(mark.maximum)}{said}")
    return html.escape(names.visible("; ".join(told), 4_000), quote=False)


# Blackboard and Brightspace


def blackboard(rows: Rows, folder: Path, left: Left) -> list[Path]:
    """Write blackboard.xls, for Work offline > Upload."""
    headings, stems = _headings(rows, "blackboard"), _stems(rows)
    who = [heading for heading in headings if heading in BLACKBOARD_WHO] or BLACKBOARD
    columns = {stem: _column(headings, stem, "blackboard", left) for stem in stems}
    lines = [[*who, *(columns[stem] or marks.title(stem) for stem in stems)]]
    said = [h for h in ("Feedback to Learner", "Feedback Format") if h in headings]
    one = stems[0] if len(stems) == 1 and len(said) == 2 else ""
    logins = _logins(rows)
    lines[0] += said if one else []
    for first, its in report.by_person(rows):
        student = first.student
        more = _more(first, "blackboard")
        if not more and _nothing(its):
            continue
        more = more or {
            "Last Name": student.name,
            "Username": logins.get(first.key, "") if student.listed else student.id,
            "Student ID": student.id if student.listed else "",
        }
        if not more.get("Username"):
            left.add(f"blackboard: {_who(first)} has no Username and is not in blackboard.xls")
            continue
        line = [_text(more.get(h, "")) if h in NAMES else more.get(h, "") for h in who]
        line += [_value(its.get(stem), more.get(columns[stem], "")) for stem in stems]
        if one:
            given = its.get(one)
            line += [_text(comments(*given)), "HTML"] if given else [more.get(h, "") for h in said]
        lines.append(line)
    for stem in stems:
        _other_points(columns[stem], stem, r"Total Pts: ([\d.,]+)", left)
    return [_write(lines, folder / "blackboard.xls", "utf-16", "\t")]


def _logins(rows: Rows) -> dict[str, str]:
    """Return by key the Username in a hand-in's name: TITLE_USERNAME_attempt_TIME_FILE.

    Both may have underscores; the title is what all names of an exercise begin with.
    """
    begins: dict[str, dict[str, str]] = {}
    for submission, _ in rows:
        for part in _parts(submission):
            if "_attempt_" in part:
                begin = part.partition("_attempt_")[0]
                begins.setdefault(submission.assignment, {})[submission.key] = begin
    found = {}
    for of_one in begins.values():
        title = os.path.commonprefix(list(of_one.values())).rpartition("_")[0]
        for key, begin in of_one.items():
            alone = len(of_one) == 1 or not title
            found[key] = begin.partition("_")[2] if alone else begin[len(title) + 1 :]
    return found


def brightspace(rows: Rows, folder: Path, left: Left) -> list[Path]:
    """Write brightspace.csv, for Grades > Enter grades > Import, and zips of feedback."""
    headings, stems = _headings(rows, "brightspace"), _stems(rows)
    who = [heading for heading in headings if heading in BRIGHTSPACE] or BRIGHTSPACE
    columns = {stem: _column(headings, stem, "brightspace", left) for stem in stems}
    head = [columns[stem] or f"{_title(stem)} Points Grade" for stem in stems]
    lines = [[*who, *head, END]]
    for first, its in report.by_person(rows):
        more = _more(first, "brightspace")
        if not more and _nothing(its):
            continue
        if not more and first.student.listed:  # the school's own id
            more = {"OrgDefinedId": first.student.id}
        if not any(more.get(h) for h in BRIGHTSPACE):
            name = _who(first)  # the number in a folder's name is Brightspace's own, not this
            left.add(f"brightspace: {name} has no OrgDefinedId: give the grades' export as ROSTER")
            continue
        line = [more.get(h, "") for h in who]
        line += [_value(its.get(stem), more.get(columns[stem], "")) for stem in stems]
        lines.append([*line, "#"])
    for stem in stems:
        _other_points(columns[stem], stem, r"MaxPoints:([\d.,]+)", left)
    made = [_write(lines, folder / "brightspace.csv", "utf-8-sig")]
    for stem in stems:
        made += _feedback(
            _of(rows, stem), folder / f"brightspace-feedback-{stem}.zip", _brightspace_name
        )
    return made


def _title(stem: str) -> str:
    """Return an exercise's title as Brightspace takes it: without signs that part its columns."""
    return re.sub(r"[\"/*<>+=|,%:]+", "", marks.title(stem))


def _other_points(heading: str, stem: str, pattern: str, left: Left) -> None:
    """Note a column whose points are not the exercise's."""
    found = re.search(pattern, heading)
    most = marks.number(marks.maximum_of(stem))
    if found and not _same(found[1], most):
        left.add(f"the column {heading!r} is of {found[1]} points, the exercise of {most}: set it")


def _brightspace_name(submission: Submission) -> str:
    """Return the folder that Brightspace handed out for a student, with a page in it."""
    for part in _parts(submission):
        if re.match(r"\d+-\d+ ?- .+ ?- ", part):
            return f"{part}/feedback.html"
    return ""


WRITERS = {
    "canvas": canvas, "moodle": moodle, "blackboard": blackboard, "brightspace": brightspace,
}  # fmt: skip


# Feedback


def _feedback(rows: Rows, file: Path, name_of: Callable[[Submission], str]) -> list[Path]:
    """Write a zip of the feedback pages under the names that a system knows them by; return it.

    Who handed in nothing has no page in it, nor has a hand-in that the system has no name for. A
    zip without any is not written.
    """
    taken: set[str] = set()
    if not any(name_of(s) for s, _ in rows if s.status != "not handed in"):
        return []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for submission, result in rows:
            name = "" if submission.status == "not handed in" else name_of(submission)
            if not name:
                continue
            folded = name.casefold()
            if folded in taken:
                stem, _, ending = name.rpartition(".")
                name = f"{stem} {submission.key}.{ending}"
            taken.add(name.casefold())
            text = report.page_of(submission, result).encode("utf-8", "replace")
            packed.writestr(name, text)
    return [file]


def _plain_name(submission: Submission) -> str:
    student = submission.student
    told = [marks.who(submission)] + ([student.id] if student.name and student.id else [])
    return _file_name(" ".join(told)) + ".html"


def _file_name(text: str) -> str:
    """Return a name that any system takes for a file: letters, digits and plain signs, in NFC."""
    plain = re.sub(r"[^\w .()@+-]", "_", unicodedata.normalize("NFC", names.visible(text, 120)))
    return plain.encode("utf-8")[:120].decode("utf-8", "ignore").strip(". ") or "student"
