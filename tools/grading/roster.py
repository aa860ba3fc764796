"""Read the list of a class, as a school or a system writes it, and find a hand-in's student in it.

A plain table with headings such as name, id, email, section (이름, 학번, 이메일, 분반) will do, and
so will the gradebook of Canvas, Moodle, Blackboard, Brightspace, Gradescope and GitHub or Google
Classroom. A student is found by id, then by e-mail, then by name; nobody is guessed.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tools.errors import CourseError
from tools.grading import names


@dataclass(frozen=True)
class Student:
    """A person, as the list of the class or else as a hand-in tells."""

    name: str = ""
    id: str = ""
    email: str = ""
    section: str = ""
    more: tuple[tuple[str, str], ...] = ()
    listed: bool = False


# What a heading says, without case, spaces and signs. The first of a kind that is filled is shown;
# a hand-in is found by any of them.
HEADINGS = {
    "id": "id identifier studentid studentnumber studentno sid orgdefinedid matriculation"
    " matriculationnumber idnumber number 학번 학생번호 아이디 識別子 학번id sisuserid sisloginid"
    " username userid loginid login user githubusername rosteridentifier netid 学籍番号 사용자이름",
    "email": "email emailaddress mail 이메일 메일 이메일주소 전자우편 メールアドレス",
    "name": "name fullname student studentname displayname 이름 성명 학생 학생이름 氏名 名前",
    "first": "firstname givenname given first 이름first 명",
    "last": "lastname surname familyname family last 성",
    "section": "section sections group class 분반 반 조 クラス",
}
SYSTEMS = {  # headings by which a system's own table is known
    "canvas": {"Student", "SIS Login ID", "Section"},
    "moodle": {"Identifier", "Full name", "Maximum Grade"},
    "blackboard": {"Last Name", "First Name", "Username", "Availability"},
    "brightspace": {"OrgDefinedId", "End-of-Line Indicator"},
    "gradescope": {"SID", "Email"},
    "github": {"github_username"},
    "google": {"Last Name", "First Name", "Email Address"},
}
# Rows of a table that are no student's.
NOBODY = re.compile(
    r"\s*(points possible|student, test|test student|studentview|모의 학생.*)\s*", re.I
)


@dataclass
class Roster:
    """The students of a class, with the headings and the other rows of their table."""

    students: list[Student] = field(default_factory=list)
    system: str = ""  # "" for a plain table
    headings: list[str] = field(default_factory=list)
    above: list[list[str]] = field(default_factory=list)  # rows that are no student's

    def __post_init__(self) -> None:
        self._ids = _index((s, filter(None, map(plain_id, ids_of(s)))) for s in self.students)
        self._emails = _index((s, [s.email.casefold()]) for s in self.students if s.email)
        self._names = _index((s, forms(s.name)) for s in self.students)
        self._bare = _index((s, map(_bare, forms(s.name))) for s in self.students)

    def match(self, student: Student, others: Iterable[str] = ()) -> tuple[list[Student], str]:
        """Return the students that a hand-in may be from, and by what: one if it is clear.

        ``others`` are further ids that may be the student's. If the id is one student's and the
        name another's, both are returned.
        """
        bare = " ".join(w for w in student.name.split() if w.casefold() not in names.GENERIC)
        by_name = self._by_name(student.name) or self._by_name(bare)
        for key in [student.id, *others]:
            found = self._ids.get(plain_id(key), []) if key else []
            if found and (len(by_name) != 1 or by_name[0] in found):
                return found, "id"
            if found:
                return _once([*found, *by_name]), "id and name"
        for email in (student.email, student.id, student.name):
            found = self._emails.get(email.casefold(), []) if "@" in email else []
            if found:
                return found, "e-mail"
        return by_name, "name"

    def _by_name(self, name: str) -> list[Student]:
        exact = _once(s for form in forms(name) for s in self._names.get(form, []))
        return exact or _once(s for form in forms(name) for s in self._bare.get(_bare(form), []))


def _index(pairs: Iterable[tuple[Student, Iterable[str]]]) -> dict[str, list[Student]]:
    made: dict[str, list[Student]] = defaultdict(list)
    for student, keys in pairs:
        for key in set(keys):
            made[key].append(student)
    return made


def _once(students: Iterable[Student]) -> list[Student]:
    return list(dict.fromkeys(students))


def plain_id(text: str) -> str:
    """Return an id for comparing: without case, without the # that Brightspace writes."""
    found = re.fullmatch(r"participant[ _](\d+)", text.strip(), re.I)
    return found[1] if found else text.strip().lstrip("#").casefold()


def ids_of(student: Student) -> list[str]:
    """Return all ids that the student's row holds."""
    return [student.id, *(value for head, value in student.more if _kind(head) == "id")]


def forms(name: str) -> set[str]:
    """Return a name in the ways in which it is written: in any order of family and given name.

    Case, spaces, commas and signs are gone. "Kim Minsu (김민수)" has the forms of both its names.
    """
    made: set[str] = set()
    inside = "".join(re.findall(r"[(\[/|](.*)", name))
    apart = any(map(str.isalpha, inside))  # "Ana (2)" is another person than Ana
    pieces = re.split(r"[()\[\]/|]", name) if apart else []
    for text in {name, *(p for p in pieces if any(map(str.isalpha, p)))}:
        words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold())
        for turn in range(len(words)):
            made.add("".join(words[turn:] + words[:turn]))
        if "," in text:  # a comma says where the given names begin
            family, _, given = text.partition(",")
            made.add("".join(re.findall(r"[^\W_]+", (given + family).casefold())))
    return made


def _bare(form: str) -> str:
    """Return a form without accents; Korean stays as it is."""
    apart = unicodedata.normalize("NFD", form)
    return unicodedata.normalize("NFC", "".join(c for c in apart if not "\u0300" <= c <= "\u036f"))


# Reading


def read(path: Path) -> Roster:
    """Return the roster in a table of comma, semicolon or tab separated values.

    Raises CourseError if it cannot be read, names nobody, or says something twice.
    """
    rows = [row for row in _rows(path) if any(cell.strip() for cell in row)]
    at = next((n for n, row in enumerate(rows[:10]) if _columns(row)), None)
    if at is None:
        raise CourseError(
            f"reading the roster {path}: no line has headings that are known. The first line "
            "should be such as: name,id,email,section"
        )
    headings = [names.visible(cell, 300) for cell in rows[at]]
    columns = _columns(headings)
    students, above = [], []
    for row in rows[at + 1 :]:
        row = row[: len(headings)] + [""] * (len(headings) - len(row))
        student = _student(headings, columns, row)
        if student is None or NOBODY.fullmatch(student.name):
            above.append(row)
        else:
            students.append(student)
    if not students:
        raise CourseError(f"reading the roster {path}: it lists nobody. Export it again")
    _check(students, path)
    return Roster(students, _system(headings), headings, above)


def _rows(path: Path) -> list[list[str]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CourseError(f"reading the roster {path}: {error.strerror}. Mend the path") from error
    if content.startswith(b"PK"):
        raise CourseError(f"reading the roster {path}: it is an Excel file. Save it as CSV")
    text = _text(content, path)
    first = text.lstrip().split("\n")[0]
    comma = max(",;\t", key=first.count)
    try:
        csv.field_size_limit(2**20)
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=comma))
    except csv.Error as error:
        raise CourseError(f"reading the roster {path}: {error}. Save it as CSV again") from error


def _text(content: bytes, path: Path) -> str:
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))  # as Blackboard writes it for Excel
    for encoding in ["utf-16"] if wide else ["utf-8-sig", "cp949", "cp932", "cp1252"]:
        try:
            return content.decode(encoding).replace("\0", "")
        except UnicodeDecodeError:
            continue
    raise CourseError(f"reading the roster {path}: in which encoding is it? Save it as UTF-8")


def _kind(heading: str) -> str:
    """Return what a heading says, or ""."""
    plain = "".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", heading).casefold()))
    return next((kind for kind, known in HEADINGS.items() if plain in known.split()), "")


def _columns(row: list[str]) -> dict[str, list[int]]:
    """Return the columns of each kind, if there is one that tells a person; else nothing."""
    found: dict[str, list[int]] = defaultdict(list)
    for column, heading in enumerate(row):
        if kind := _kind(heading):
            found[kind].append(column)
    plain = {heading.strip().casefold() for heading in row}
    if "first" not in found and "last" in found and "이름" in plain:
        found["first"] = found.pop("name", [])
    useful = {"name", "first", "last", "email"} & set(found)
    return found if useful else {}


def _student(headings: list[str], columns: dict[str, list[int]], row: list[str]) -> Student | None:
    """Return the student of a row; None if it tells nobody."""
    cells = [names.visible(cell, 1_000) for cell in row]
    told = {
        kind: next((cells[c] for c in which if cells[c]), "") for kind, which in columns.items()
    }
    name = told.get("name", "")
    if not name:
        both = [told.get("first", ""), told.get("last", "")]
        korean = any("가" <= c <= "힣" for c in "".join(both))
        name = "".join(reversed(both)) if korean else " ".join(filter(None, both))
    if not (name or told.get("id") or told.get("email")):
        return None
    email = told.get("email") or next(
        (cells[c] for c in columns.get("id", []) if "@" in cells[c]), ""
    )
    ids = [cells[c] for c in columns.get("id", []) if cells[c]]
    number = re.sub(r"^Participant (?=\d)", "", ids[0]).lstrip("#") if ids else ""
    return Student(
        name[:100], number, email, told.get("section", ""), tuple(zip(headings, cells)), True
    )


def _system(headings: list[str]) -> str:
    for system, known in SYSTEMS.items():
        if known <= set(headings):
            return system
    return ""


def _check(students: list[Student], path: Path) -> None:
    """Raise CourseError if two rows are of one id, or if two cannot be told apart at all."""
    ids: dict[str, Student] = {}
    bare: set[str] = set()
    for student in students:
        keys = [key for key in (plain_id(student.id), student.email.casefold()) if key]
        for key in keys:
            if key in ids:
                raise CourseError(
                    f"reading the roster {path}: {key} is both {ids[key].name!r} and "
                    f"{student.name!r}. Mend one of the two lines"
                )
        if not keys and student.name in bare:
            raise CourseError(
                f"reading the roster {path}: {student.name!r} is there twice without an id or an "
                "e-mail address. Add one"
            )
        ids |= dict.fromkeys(keys, student)
        bare |= set() if keys else {student.name}
