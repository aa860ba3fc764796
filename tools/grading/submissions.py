"""Collect the submissions in what an instructor gets, each with its student.

One submission has one key from its place to its row. Nothing of what was handed in is changed, and
whatever it holds, it stops nobody: it is a row with a status and a sentence.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tools import notebooks
from tools.errors import CourseError
from tools.grading import contents, intake, late, names, roster, unpack
from tools.grading.contents import which
from tools.grading.roster import Student

LARGEST = unpack.Limits().file  # bytes of a notebook; a student's has 0.1 MB
MANY = 50  # notebooks of one student
BESIDE = re.compile(
    r"(?:readme|license|licence|notice|makefile|requirements|index|environment|grades?|rubric)\b.*"
    r"|.*\.(?:csv|tsv|xlsx?|ya?ml|toml|cfg|ini|log|md|json|css|js|bat|sh|lnk|url)",
    re.I,
)

__all__ = ["LARGEST", "Student", "Submission", "collect", "read", "which"]


@dataclass
class Submission:
    """One student's notebook for one assignment, or what was handed in for it, or nothing."""

    student: Student
    file: str
    digest: str
    assignment: str = ""
    packed: bytes = b""
    status: str = ""
    sentence: str = ""
    notes: list[str] = field(default_factory=list)
    at: datetime | None = None
    factor: float = 1.0
    key: str = ""
    counts: bool = True
    system: str = ""  # the export that it came in

    @property
    def who(self) -> str:
        """Return what to show for the student: the name, the id, or else the file."""
        return self.student.name or self.student.id or self.student.email or self.file

    @property
    def notebook(self) -> Any:
        """Return the notebook, a fresh one each time; None if there is none."""
        return contents.unpacked(self.packed) if self.packed else None

    @notebook.setter
    def notebook(self, notebook: Any) -> None:
        self.packed = b"" if notebook is None else contents.packed(notebook)


def read(content: bytes) -> tuple[Any, str, str]:
    """Return (notebook, "", "") of a file's bytes, or (None, status, sentence)."""
    return contents.read(content)


def collect(
    place: Path,
    assignment: str = "",
    system: str = "",
    roster: Path | None = None,
    due: datetime | None = None,
    policy: str = "",
    keep: str = "newest",
) -> list[Submission]:
    """Return the submissions in ``place``, a folder or a zip file, by student and assignment.

    ``assignment`` is the stem of the exercise; without it each notebook says by its cells which
    one it is. ``system`` overrules what the place looks like, see ``intake.SYSTEMS``. With a
    ``roster`` there is a row for each of its students and each assignment. ``due`` and ``policy``
    say what a late one keeps of its points; of two by one student the ``keep`` one counts,
    "newest" or "first". Raises CourseError if there is no such place, nothing in it, or if an
    argument is not clear.
    """
    _check(place, assignment, keep)
    rule = late.policy(policy)
    if policy and due is None:
        raise CourseError(f"collecting submissions: POLICY={policy!r} needs DUE=2026-11-20T23:59")
    listed = _roster(roster)
    pieces = [_piece(file, assignment) for file in unpack.walk(place)]
    if not pieces:
        raise CourseError(f"collecting submissions: {place} holds no file")
    _owned(pieces, system, listed)
    found = _handed_in(pieces, assignment)
    _match(found, listed)
    for hand_in in found:
        _apply(hand_in, due, policy, rule)
    _of_two(found, keep)
    rows = [hand_in.made for hand_in in found]
    rows += _not_handed_in(rows, listed, assignment)
    _tell(rows, listed)
    return sorted(rows, key=_order)


def _roster(path: Path | None) -> roster.Roster | None:
    return roster.read(path) if path else None


def _check(place: Path, assignment: str, keep: str) -> None:
    """Raise CourseError where there is nothing to collect, or what is not handed in."""
    say = "Say where the hand-ins are: SUBMISSIONS=folder"
    if str(place) == ".":
        raise CourseError(f"collecting submissions: no folder was named. {say}")
    if not place.exists():
        raise CourseError(f"collecting submissions: {place} is not there")
    here, root = place.resolve(), notebooks.ROOT
    ours = [root, *root.parents, root / "exercises"]
    masters = [Path("solutions") / m.relative_to(root / "solutions") for m in notebooks.masters()]
    if (
        here in ours
        or root / "solutions" in [here, *here.parents]
        or any((here / master).exists() for master in masters)
    ):
        raise CourseError(f"collecting submissions: {place} holds the course itself. {say}")
    stems = [master.stem for master in notebooks.masters()]
    if assignment and assignment not in stems:
        known = ", ".join(stems)
        raise CourseError(f"collecting {assignment!r}: there is no such exercise. Known: {known}")
    if keep not in ("newest", "first"):
        raise CourseError(f"collecting submissions: KEEP={keep}: say newest or first")


# One file


@dataclass
class _Piece:
    """What is kept of a file once it was read."""

    file: unpack.File  # without its content
    digest: str
    packed: bytes = b""
    status: str = ""
    sentence: str = ""
    stem: str = ""  # the exercise, as far as it is known
    sure: bool = False  # by its cells
    candidate: bool = False  # a notebook, or meant to be one
    owners: list[intake.Owner] = field(default_factory=list)
    system: str = ""

    @property
    def runs(self) -> bool:
        """Return whether there is something to run."""
        return bool(self.packed) and not self.status


def _piece(file: unpack.File, assignment: str) -> _Piece:
    """Return what is kept of a file, and drop its content."""
    name = file.parts[-1].lower()
    digest = hashlib.sha256(file.content + (b"" if file.whole else f"{file.size}".encode()))
    piece = _Piece(file, digest.hexdigest(), status=file.problem, sentence=file.sentence)
    piece.candidate = (".ipynb" in name or file.zipped) and not file.link
    piece.stem = names.exercise_in(file.parts[-1])
    if name in intake.METADATA or ("_attempt_" in name and name.endswith(".txt")):
        piece.status, piece.sentence = "not a notebook", f"no file was attached: {contents.AGAIN}"
        return piece
    if not file.problem and not file.whole and not file.content and file.size:
        piece.status, piece.sentence = "not a notebook", f"it is no notebook: {contents.AGAIN}"
    elif not file.problem:
        try:
            notebook, piece.status, piece.sentence = contents.read(file.content, name)
            if notebook is not None:
                _recognise(piece, notebook, assignment)
        except Exception as error:  # whatever one file does, it is one row
            piece.status, piece.sentence = "unreadable", f"the file cannot be read: {error!r:.200}"
    elif file.zipped and piece.status == "unreadable" and not file.content.startswith(b"PK"):
        piece.sentence = contents.not_text(file.content, name) or piece.sentence
    file.content = b""
    return piece


def _recognise(piece: _Piece, notebook: Any, assignment: str) -> None:
    """Keep the notebook, and say which exercise it is of."""
    best, share = which(notebook, assignment)
    piece.packed, piece.candidate, piece.sure = contents.packed(notebook), True, share >= 0.5
    if piece.sure:
        piece.stem = best
    if not notebook.cells:
        piece.status, piece.sentence = "empty", "the notebook has no cells: " + contents.AGAIN
        piece.packed = b""
    elif not piece.sure:
        piece.status = "wrong assignment"
        piece.sentence = "its cells are of no exercise here: hand in the exercise's notebook"
    elif assignment and best != assignment:
        piece.status = "wrong assignment"
        piece.sentence = f"it looks like {best}: hand in {assignment}"


# Whose it is


@dataclass
class _HandIn:
    """A submission on its way, with what tells it from others."""

    made: Submission
    owner: intake.Owner | None
    piece: _Piece
    identity: tuple[str, Any]


def _owned(pieces: list[_Piece], system: str, listed: roster.Roster | None) -> None:
    """Find the owners of all files, and say which system they come from."""

    def on_roster(text: str) -> bool:
        return bool(listed and text and len(listed.match(Student(text, text))[0]) == 1)

    tasks = [(piece.stem if piece.sure else "") if piece.candidate else None for piece in pieces]
    verdict = intake.recognise([piece.file for piece in pieces], tasks, system, on_roster)
    print(verdict.why)
    for piece, owners in zip(pieces, verdict.owners):
        piece.owners, piece.system = owners, verdict.system


def _identity(owner: intake.Owner | None, piece: _Piece) -> tuple[str, Any]:
    """Return what is the same for all files of one person, and of nobody else."""
    if owner is None:
        return "file", piece.file.parts
    if owner.id and owner.typed:
        return "id", (owner.id.casefold(), owner.name.casefold())
    if owner.id:
        return "id", owner.id.casefold()
    if owner.email:
        return "email", owner.email.casefold()
    return ("file", piece.file.parts) if owner.alone else ("place", owner.place)


def _handed_in(pieces: Sequence[_Piece], assignment: str) -> list[_HandIn]:
    """Return a hand-in for each notebook and owner; for a place without one, one for its files."""
    refused = {piece.file.parts for piece in pieces if piece.file.zipped}
    groups: dict[tuple[str, Any], list[tuple[intake.Owner | None, _Piece]]] = defaultdict(list)
    for piece in pieces:
        above = (piece.file.parts[:n] for n in range(1, len(piece.file.parts)))
        if any(parts in refused for parts in above):
            continue  # the zip that it was in was refused, and has a row
        owners: Sequence[intake.Owner | None] = piece.owners or [None]
        for owner in owners:
            groups[_identity(owner, piece)].append((owner, piece))
    known = {p.stem for p in pieces if p.sure and p.candidate}
    only = assignment or (known.pop() if len(known) == 1 else "")
    _join(groups)
    found = []
    for identity, group in groups.items():
        for owner, piece, notes in _chosen(group, assignment):
            found.append(_made(owner, piece, identity, assignment, only, notes))
    return found


def _join(groups: dict[tuple[str, Any], list[tuple[intake.Owner | None, _Piece]]]) -> None:
    """Put a file that is no notebook to the notebook of the same name in the same folder."""
    first: dict[tuple[Any, ...], tuple[str, Any]] = {}
    for identity, group in groups.items():
        owner, piece = group[0]
        if owner and owner.alone and piece.candidate:
            first.setdefault((*piece.file.parts[:-1], owner.name.casefold()), identity)
    for identity, group in list(groups.items()):
        owner, piece = group[0]
        if owner and owner.alone and len(group) == 1 and not piece.candidate:
            other = first.get((*piece.file.parts[:-1], owner.name.casefold()))
            if other:
                groups[other] += groups.pop(identity)


def _chosen(
    group: list[tuple[intake.Owner | None, _Piece]], assignment: str
) -> list[tuple[intake.Owner | None, _Piece, list[str]]]:
    """Return which files of one person are hand-ins, and notes on what lay beside them.

    A file that is no notebook counts only where there is none; a notebook that is broken, or of
    nothing here, only where there is none of this exercise that runs.
    """
    owner = group[0][0]
    candidates = [(o, p) for o, p in group if p.candidate]
    if len(candidates) > MANY:
        o, piece = candidates[0]
        piece.status, piece.packed = "too large", b""
        piece.sentence = f"{len(candidates)} notebooks were handed in: hand in one"
        return [(o, piece, [])]
    if not candidates:
        loose = owner is None or (owner.alone and len(group) == 1)
        beside = [(o, p) for o, p in group if not (loose and _beside(p))]
        beside.sort(key=lambda op: (op[1].file.link, bool(BESIDE.fullmatch(op[1].file.parts[-1]))))
        return [(*beside[0], [])] if beside else []
    running = {p.stem for _, p in candidates if p.runs}
    chosen: list[tuple[intake.Owner | None, _Piece, list[str]]] = []
    for o, piece in candidates:
        covered = running and (not piece.stem or piece.stem in running or assignment)
        if piece.runs or not covered:
            chosen.append((o, piece, []))
    told = [p for o, p in group if p.candidate or (o and o.alone)]
    left = [p.file.parts[-1] for p in told if all(p is not q for _, q, _ in chosen)]
    if left:
        chosen[0][2].append("beside it lay, and was not graded: " + ", ".join(left[:5]))
    return chosen


def _beside(piece: _Piece) -> bool:
    """Return whether a file in nobody's folder is no hand-in: a table, a README, an index."""
    name = piece.file.parts[-1]
    if piece.file.link or not piece.owners or piece.system not in ("files", "google", "plain"):
        return True
    data = name.rpartition(".")[2].lower() in unpack.DATA
    return data or name in intake.METADATA or "_attempt_" in name or bool(BESIDE.fullmatch(name))


def _made(
    owner: intake.Owner | None,
    piece: _Piece,
    identity: tuple[str, Any],
    assignment: str,
    only: str,
    notes: list[str],
) -> _HandIn:
    student = Student(owner.name, owner.id, owner.email, owner.section) if owner else Student()
    made = Submission(student, piece.file.place, piece.digest, system=piece.system)
    made.assignment = assignment or (piece.stem if piece.sure else piece.stem or only)
    made.packed = piece.packed
    made.status, made.sentence = piece.status, piece.sentence
    made.at = owner.at if owner else None
    made.notes = [*(owner.notes if owner else []), *notes]
    if owner is None:
        made.notes.append(f"whose? nothing in {made.file!r} names a student: ask, and rename it")
    elif owner.late:
        made.notes.append("the system marks it as late")
    if piece.runs and contents.untouched(made.notebook, made.assignment):
        made.notes.append("no answer was changed: it is as it was released")
    return _HandIn(made, owner, piece, identity)


def _match(found: list[_HandIn], listed: roster.Roster | None) -> None:
    """Put the roster's students in place of those that are clear; say who is not."""
    if listed is None:
        return
    claims: dict[Student, list[tuple[_HandIn, str]]] = defaultdict(list)
    for one in found:
        if one.owner is None:
            continue
        students, by = listed.match(one.made.student, one.owner.others)
        if len(students) > 1 and one.owner.section:
            same = [s for s in students if s.section.casefold() == one.owner.section.casefold()]
            students = same if len(same) == 1 else students
        if len(students) == 1:
            claims[students[0]].append((one, by))
            continue
        one.made.notes.append(_nobody(students, by))
    for student, claimed in claims.items():
        ids = {one.identity for one, _ in claimed if one.identity[0] == "id"}
        for one, by in claimed:
            if len(ids) > 1 and by == "name" and one.identity in ids:
                one.made.notes.append(_nobody([student], "name, as others of this name do"))
            else:
                one.made.notes += (
                    _differs(one.made.student.name, student.name) if by == "id" else []
                )
                one.made.student = student
                one.identity = "listed", student
                one.made.at = one.made.at or _submitted(student)


def _differs(told: str, listed: str) -> list[str]:
    """Return a note if a hand-in has the id of one person and, in the same script, no such name."""
    same_script = told.isascii() == listed.isascii()
    if told and listed and same_script and not roster.forms(told) & roster.forms(listed):
        return [f"its id is that of {listed}, and its name is {told}"]
    return []


def _nobody(students: list[Student], by: str) -> str:
    if not students:
        return "whose? the roster has nobody of this id, e-mail or name"
    listed = " or ".join(
        f"{s.name} ({s.id or s.email})" if s.id or s.email else s.name for s in students[:5]
    )
    return f"whose? by {by} it may be from {listed}: nobody was guessed"


def _submitted(student: Student) -> datetime | None:
    """Return the time of the hand-in that the roster itself tells: Moodle's, GitHub's."""
    told = dict(student.more)
    text = told.get("Last modified (submission)") or told.get("submission_timestamp") or ""
    return intake.moment(text)


# Late, twice, not at all


def _apply(one: _HandIn, due: datetime | None, policy: str, rule: late.Policy) -> None:
    """Set what is left of the points of a late hand-in, and say it."""
    made = one.made
    if due is None:
        return
    if made.at is None:
        if policy:
            made.notes.append("the export does not tell when it was handed in: all points count")
        return
    delay = late.delay(made.at, due)
    if delay.total_seconds() <= 0:
        return
    made.factor = rule.factor(delay)
    share = f"{made.factor * 100:g} % of the points count" if policy else "no policy was set"
    made.notes.append(f"late by {late.in_words(delay)}: {share}")


def _of_two(found: list[_HandIn], keep: str) -> None:
    """Say of several hand-ins of one student and assignment which counts, and give all a key."""
    groups: dict[tuple[tuple[str, Any], str], list[_HandIn]] = defaultdict(list)
    for one in found:
        groups[one.identity, one.made.assignment].append(one)
    for group in groups.values():
        timed = all(one.made.at for one in group)
        group.sort(key=lambda one: _age(one, timed), reverse=keep == "newest")
        group.sort(key=lambda one: not one.piece.runs)  # what runs goes before what does not
        kept = group[0].made
        for other in (one.made for one in group[1:]):
            why = "the newest" if keep == "newest" else "the first"
            why += " that can be graded" if group[0].piece.runs else ""
            other.counts, other.packed = False, b""
            other.status, other.sentence = "handed in twice", f"{why} counts: {kept.file}"
            kept.notes.append(f"handed in more than once; this one counts, not {other.file}")
    _keys(found)


def _age(one: _HandIn, timed: bool) -> tuple[float, int, int, float, str]:
    """Return what says which of two is older: the time told, the attempt, the file's own time."""
    at = one.made.at.timestamp() if timed and one.made.at else 0.0
    owner, time = one.owner, one.piece.file.time
    attempt, serial = (owner.attempt, owner.serial) if owner else (0, 0)
    return at, attempt, serial, time.timestamp() if time else 0.0, one.made.file


def _keys(found: list[_HandIn]) -> None:
    """Give each hand-in a key: the same for the same student and assignment in every run."""
    groups: dict[str, list[_HandIn]] = defaultdict(list)
    for one in found:
        groups[_key(one.made.student, one.made.assignment, one.made.file)].append(one)
    taken: set[str] = set()
    for key, group in groups.items():
        counting = [one for one in group if one.made.counts]
        for one in group:
            alone = one.made.counts and len(counting) == 1
            wanted = key if alone else f"{key}-{_hash(one.made.file)[:6]}"
            one.made.key = _free(wanted, taken)
            if one.made.counts and len(counting) > 1 and one.owner is not None:
                one.made.notes.append(
                    "another hand-in has the same name: a roster, or ids, can tell them apart"
                )


def _key(student: Student, assignment: str, file: str) -> str:
    """Return a plain key for a student and an assignment; of nobody, for a file."""
    kinds = ("id", student.id), ("email", student.email), ("name", student.name), ("file", file)
    kind, text = next(((kind, text) for kind, text in kinds if text), ("", ""))
    told = f"{kind} {text}" + (f" in {student.section}" if kind == "name" else "")
    plain = unicodedata.normalize("NFKD", student.name or student.id or student.email or "nobody")
    slug = re.sub(r"[^a-z0-9]+", "-", plain.encode("ascii", "ignore").decode().lower()).strip("-")
    parts = [slug[:30].strip("-"), _hash(told)[:10], assignment[:40].lower()]
    return "-".join(part for part in parts if part)


def _free(wanted: str, taken: set[str]) -> str:
    """Return a key that nobody has: the wanted one, or one with a number."""
    key, number = wanted, 2
    while key in taken:
        key, number = f"{wanted}-{number}", number + 1
    taken.add(key)
    return key


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _not_handed_in(
    rows: list[Submission], listed: roster.Roster | None, assignment: str
) -> list[Submission]:
    """Return a row for each student of the roster and each assignment without a hand-in.

    An exercise that less than a tenth as many have handed in as another was nobody's task.
    """
    if listed is None:
        return []
    counts = Counter(row.assignment for row in rows if row.assignment)
    usual = [task for task, count in counts.items() if count * 10 >= max(counts.values())]
    tasks = [assignment] if assignment else sorted(usual) or [""]
    there = {(row.student, row.assignment) for row in rows}
    taken = {row.key for row in rows}
    missing = []
    for student in listed.students:
        for task in tasks:
            if (student, task) not in there:
                row = Submission(student, "", "", task, status="not handed in")
                row.sentence = "nothing was handed in"
                row.key = _free(_key(student, task, ""), taken)
                row.system = rows[0].system if rows else ""
                missing.append(row)
    return missing


def _order(row: Submission) -> tuple[Any, ...]:
    return row.who.casefold(), row.student.id, row.assignment, not row.counts, row.file


def _tell(rows: Iterable[Submission], listed: roster.Roster | None) -> None:
    """Print whom to ask about: hand-ins that are nobody's."""
    asked = [row for row in rows if any(note.startswith("whose?") for note in row.notes)]
    for row in asked[:10]:
        said = next(note for note in row.notes if note.startswith("whose?"))
        print(f"  {row.file}: {said}")
    if len(asked) > 10:
        print(f"  ... and {len(asked) - 10} more that are nobody's")
    if listed is not None:
        missing = sum(row.status == "not handed in" for row in rows)
        print(f"  {len(listed.students)} on the roster; not handed in: {missing}")
