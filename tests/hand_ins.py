"""Make what each learning system exports, of a class that does not exist.

    python -m tests.hand_ins OUT            every form, with the roster of each system
    python -m tests.hand_ins OUT canvas     one form

A form writes the hand-ins of some people into a folder as its system does: names, paths, files that
lie beside them. Each says what of a person can be read from it, so that a test can compare.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tools import notebooks
from tools.errors import run_tool

STEM = "02_padding_and_stride"
TITLE = "Exercise 02"
KST = timezone(timedelta(hours=9))
START = datetime(2026, 11, 20, 10, 0, 0)


@dataclass(frozen=True)
class Person:
    given: str
    family: str
    login: str
    number: int  # the school's
    section: str = "A"
    korean: str = ""

    @property
    def name(self) -> str:
        return f"{self.given} {self.family}"

    @property
    def sortable(self) -> str:
        return f"{self.family}, {self.given}"

    @property
    def email(self) -> str:
        return f"{self.login}@school.example"

    @property
    def sid(self) -> str:
        """The number that a system has for this person, which is not the school's."""
        return str(self.number - 20_260_000 + 12_345)

    @property
    def at(self) -> datetime:
        return START + timedelta(minutes=self.number % 100)


# Nobody of these exists. Two are called the same, and one has "(2)" in the name.
PEOPLE = (
    Person("Minsu", "Kim", "kms123", 20260001, "A", "김민수"),
    Person("Minsu", "Kim", "kms_77", 20260002, "B", "김민수"),
    Person("Jiwoo", "Lee", "jlee", 20260003, "A", "이지우"),
    Person("Seo-yeon", "Park", "sypark", 20260004, "B", "박서연"),
    Person("지훈", "남궁", "ngjh", 20260005, "A", "남궁지훈"),
    Person("太郎", "田中", "tanaka", 20260006, "A"),
    Person("さくら", "山本", "sakura.y", 20260007, "B"),
    Person("ソフィア", "表", "omote", 20260008, "A"),
    Person("Ana María", "García Márquez", "agarcia", 20260009, "B"),
    Person("José", "Muñoz Peña", "jmunoz", 20260010, "A"),
    Person("Åsa", "O'Neil", "aoneil", 20260011, "B"),
    Person("Jean-Luc", "Lefèvre", "jllefevre", 20260012, "A"),
    Person("Thi Mai", "Nguyen", "nguyentm", 20260013, "B"),
    Person("Li", "Xu", "xuli", 20260014, "A"),
    Person("Priya", "Raghunathan", "priya", 20260015, "B"),
    Person("Ali", "Al-Sayed", "aalsayed", 20260016, "A"),
    Person("Ben", "Late", "blate", 20260017, "B"),
    Person("Max", "Copy", "mcopy", 20260018, "A"),
    Person("Eva", "Student", "estudent", 20260019, "B"),
    Person("Zoë", "van der Berg", "zvdberg", 20260020, "A"),
)

Contents = dict[Person, bytes]
Told = Callable[[Person], dict[str, str]]


@dataclass(frozen=True)
class Form:
    """How a system hands over: ``write`` returns the place, ``told`` what can be read of one."""

    write: Callable[[Path, Contents], Path]
    told: Told
    system: str = ""


def handed_in(person: Person, stem: str = STEM) -> bytes:
    """Return this person's notebook, which is nobody else's."""
    release = next(path for path in notebooks.releases() if path.stem == stem)
    notebook = json.loads(release.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["id"] == "answer-1":
            cell["source"] = ["# Answer 1\n", f"author = {person.number}"]
    return json.dumps(notebook, ensure_ascii=False).encode()


def one_each(people: tuple[Person, ...] = PEOPLE) -> Contents:
    """Return a notebook for each person."""
    return {person: handed_in(person) for person in people}


def put(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files into a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


class Raw(zipfile.ZipInfo):
    """An entry whose name has the bytes of an old Windows, without the mark for UTF-8."""

    raw = b""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.raw, self.flag_bits & ~0x800


def zipped(files: dict[str, bytes], encoding: str = "") -> bytes:
    """Return a zip of files, with their names in an encoding of Windows if one is given."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, (2026, 11, 20, 10, 0, 0))
            if encoding:
                entry = Raw("x", (2026, 11, 20, 10, 0, 0))
                entry.raw = name.encode(encoding)
                entry.filename = entry.raw.decode("cp437")
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, content)
    return held.getvalue()


def numbered(people: Contents, name: Callable[[Person], str]) -> dict[Person, str]:
    """Return a name for each; of two that are the same, the second has (2), as copies have."""
    taken: dict[str, int] = {}
    names = {}
    for person in people:
        told = name(person)
        taken[told] = taken.get(told, 0) + 1
        names[person] = told + (f" ({taken[told]})" if taken[told] > 1 else "")
    return names


# The systems


def canvas(folder: Path, people: Contents) -> Path:
    files = {}
    for n, (person, content) in enumerate(people.items()):
        name = "".join(c for c in person.sortable.lower() if c.isalnum())
        late = "_LATE" if n % 5 == 4 else ""
        again = "-1" if n % 7 == 3 else ""
        files[f"{name}{late}_{person.sid}_{998_877 + n}_{STEM}{again}.ipynb"] = content
    return put(folder / "submissions", files)


def moodle(folder: Path, people: Contents) -> Path:
    files = {}
    for person, content in people.items():
        above = f"{person.name}_{person.sid}_assignsubmission"
        files[f"{above}_file_/{STEM}.ipynb"] = content
        files[f"{above}_onlinetext_/onlinetext.html"] = b"<p>Here it is.</p>"
    name = "CS101-Exercise 02-4711.zip"
    return put(folder, {name: zipped(files)}) / name


def moodle_flat(folder: Path, people: Contents) -> Path:
    return put(
        folder,
        {
            f"{person.name}_{person.sid}_assignsubmission_file_{STEM}.ipynb": content
            for person, content in people.items()
        },
    )


def blackboard(folder: Path, people: Contents) -> Path:
    files = {}
    for person, content in people.items():
        above = f"{TITLE}_{person.login}_attempt_{person.at:%Y-%m-%d-%H-%M-%S}"
        files[f"{above}_{STEM}.ipynb"] = content
        files[f"{above}.txt"] = (
            f"Name: {person.name} ({person.login})\nAssignment: {TITLE}\n"
            f"Date Submitted: {person.at:%A, %B %d, %Y %I:%M:%S %p} KST\n"
            "Current Grade: Needs Grading\n\nSubmission Field:\n"
            "There is no student submission text data for this assignment.\n\nFiles:\n"
            f"\tOriginal filename: {STEM}.ipynb\n\tFilename: {above}_{STEM}.ipynb\n"
        ).encode()
    name = "gradebook_CS101_Exercise2002_2026-11-21-09-00-00.zip"
    return put(folder, {name: zipped(files)}) / name


def brightspace(folder: Path, people: Contents) -> Path:
    files = {"index.html": b"<html><body>Exercise 02</body></html>"}
    for person, content in people.items():
        at = f"{person.at:%b} {person.at.day}, {person.at:%Y} {int(person.at.strftime('%I'))}"
        when = f"{at}{person.at:%M} {person.at:%p}"
        files[f"{person.sid}-67890 - {person.name} - {when}/{STEM}.ipynb"] = content
    name = "Exercise 02 Download Nov 21, 2026 900 AM.zip"
    return put(folder, {name: zipped(files)}) / name


def gradescope(folder: Path, people: Contents) -> Path:
    files, table = {}, ["---"]
    for n, (person, content) in enumerate(people.items(), start=111):
        files[f"assignment_1_export/submission_{n}/{STEM}.ipynb"] = content
        at = (person.at - timedelta(hours=9)).strftime("%Y-%m-%d %H:%M:%S.000000000 Z")
        table += [
            f"submission_{n}:",
            "  :submitters:",
            f'  - :name: "{person.name}"',
            f"    :sid: '{person.number}'",
            f"    :email: {person.email}",
            f"  :created_at: {at}",
            "  :status: processed",
            "  :score: ",
        ]
    files["assignment_1_export/submission_metadata.yml"] = "\n".join(table).encode()
    return put(folder, {"assignment_1_export.zip": zipped(files)}) / "assignment_1_export.zip"


def github(folder: Path, people: Contents) -> Path:
    files = {}
    for person, content in people.items():
        above = f"exercise-02-submissions/exercise-02-{_account(person)}"
        files[f"{above}/{STEM}.ipynb"] = content
        files[f"{above}/README.md"] = b"# Exercise 02"
        files[f"{above}/00_notes.txt"] = b"my notes"
        files[f"{above}/data/prices.csv"] = b"1,2,3"
        files[f"{above}/.git/HEAD"] = b"ref: refs/heads/main"
    return put(folder, files)


def _account(person: Person) -> str:
    return person.login.replace("_", "-").replace(".", "-")


def google(folder: Path, people: Contents) -> Path:
    files = {}
    for person, name in numbered(people, lambda person: person.name).items():
        name, _, number = name.partition(" (")
        again = f" ({number}" if number else ""
        files[f"{TITLE}/{name} - {STEM}{again}.ipynb"] = people[person]
    name = "Exercise 02-20261121T000000Z-001.zip"
    return put(folder, {name: zipped(files)}) / name


def zips(folder: Path, people: Contents) -> Path:
    named = numbered(people, lambda person: person.name)
    return put(
        folder,
        {
            f"{name}.{'ZIP' if n % 2 else 'zip'}": zipped({f"{STEM}.ipynb": people[person]})
            for n, (person, name) in enumerate(named.items())
        },
    )


def zips_in_a_zip(folder: Path, people: Contents) -> Path:
    named = numbered(people, lambda person: person.name)
    inner = {
        f"{name}.zip": zipped({f"my work/{STEM}.ipynb": people[person], "__MACOSX/._x": b"x"})
        for person, name in named.items()
    }
    return put(folder, {"class.zip": zipped(inner)}) / "class.zip"


def folders(folder: Path, people: Contents) -> Path:
    named = numbered(people, lambda person: unicodedata.normalize("NFD", person.name))
    return put(
        folder,
        {f"submissions/{name}/{STEM}.ipynb": people[person] for person, name in named.items()}
        | {f"submissions/{name}/README.md": b"x" for name in list(named.values())[::3]},
    )


def sections(folder: Path, people: Contents) -> Path:
    return put(
        folder,
        {
            f"{person.section}반/{person.name}/{STEM}.ipynb": content
            for person, content in people.items()
        },
    )


def files(folder: Path, people: Contents) -> Path:
    return put(
        folder,
        {
            f"{person.number} {person.korean or person.name}_{STEM}.ipynb": content
            for person, content in people.items()
        },
    )


def windows_korean(folder: Path, people: Contents) -> Path:
    named = {p: f"{p.korean or p.login} {p.number}" for p in people}
    inner = {f"과제 2/{name}/{STEM}.ipynb": people[person] for person, name in named.items()}
    return put(folder, {"과제.zip": zipped(inner, "cp949")}) / "과제.zip"


def windows_japanese(folder: Path, people: Contents) -> Path:
    inner = {f"{_japanese(p)}/{STEM}.ipynb": content for p, content in people.items()}
    return put(folder, {"kadai.zip": zipped(inner, "cp932")}) / "kadai.zip"


def _japanese(person: Person) -> str:
    name = f"{person.family} {person.given}"
    try:
        name.encode("cp932")
    except UnicodeEncodeError:
        name = person.login
    return name if person.login != "kms_77" else "kms77"


def _name(person: Person) -> dict[str, str]:
    return {"name": person.name}


def _squeezed(person: Person) -> dict[str, str]:
    name = "".join(c for c in person.sortable.lower() if c.isalnum())
    return {"name": name, "id": person.sid}


FORMS = {
    "canvas": Form(canvas, _squeezed, "canvas"),
    "moodle": Form(moodle, lambda p: {"name": p.name, "id": p.sid}, "moodle"),
    "moodle, flat": Form(moodle_flat, lambda p: {"name": p.name, "id": p.sid}, "moodle"),
    "blackboard": Form(blackboard, lambda p: {"name": p.name, "id": p.login}, "blackboard"),
    "brightspace": Form(brightspace, lambda p: {"name": p.name, "id": p.sid}, "brightspace"),
    "gradescope": Form(
        gradescope,
        lambda p: {"name": p.name, "id": str(p.number), "email": p.email},
        "gradescope",
    ),
    "github": Form(github, lambda p: {"id": _account(p)}, "github"),
    "google": Form(google, _name, "google"),
    "zips": Form(zips, _name, "zips"),
    "zips in a zip": Form(zips_in_a_zip, _name, "zips"),
    "folders": Form(folders, _name, "folders"),
    "sections": Form(sections, lambda p: {"name": p.name, "section": f"{p.section}반"}, "folders"),
    "files": Form(files, lambda p: {"name": p.korean or p.name, "id": str(p.number)}, "files"),
    "windows, korean": Form(
        windows_korean,
        lambda p: {"name": p.korean or p.login.replace("_", " "), "id": str(p.number)},
        "folders",
    ),
    "windows, japanese": Form(
        windows_japanese, lambda p: {"name": _japanese(p).replace("_", " ")}, "folders"
    ),
}


# The rosters


def _plain(people: tuple[Person, ...]) -> list[list[str]]:
    rows = [[p.korean or p.name, str(p.number), p.email, p.section] for p in people]
    return [["이름", "학번", "이메일", "분반"], *rows]


def _canvas(people: tuple[Person, ...]) -> list[list[str]]:
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Exercise 02 (4711)"]
    points = ["    Points Possible", "", "", "", "", "10.00"]
    rows = [[p.sortable, p.sid, str(p.number), p.login, p.section, ""] for p in people]
    return [head, points, *rows, ["Student, Test", "99999", "", "abcdef", "A", ""]]


def _moodle(people: tuple[Person, ...]) -> list[list[str]]:
    head = [
        "Identifier",
        "Full name",
        "Email address",
        "Status",
        "Grade",
        "Maximum Grade",
        "Grade can be changed",
        "Last modified (submission)",
        "Last modified (grade)",
        "Feedback comments",
    ]
    when = [f"{p.at:%A}, {p.at.day} {p.at:%B %Y, %I:%M %p}" for p in people]
    return [head] + [
        [f"Participant {p.sid}", p.name, p.email, "Submitted for grading - ", "", "10.00", "Yes"]
        + [at, "-", ""]
        for p, at in zip(people, when)
    ]


def _blackboard(people: tuple[Person, ...]) -> list[list[str]]:
    head = ["Last Name", "First Name", "Username", "Student ID", "Last Access", "Availability"]
    rows = [[p.family, p.given, p.login, str(p.number), "2026-11-20", "Yes", ""] for p in people]
    return [[*head, "Exercise 02 [Total Pts: 10 Score] |123456"], *rows]


def _brightspace(people: tuple[Person, ...]) -> list[list[str]]:
    head = ["OrgDefinedId", "Username", "Last Name", "First Name", "Email"]
    rows = [[f"#{p.sid}", f"#{p.login}", p.family, p.given, p.email, "", "#"] for p in people]
    grade = "Exercise 02 Points Grade <Numeric MaxPoints:10>"
    return [[*head, grade, "End-of-Line Indicator"], *rows]


def _gradescope(people: tuple[Person, ...]) -> list[list[str]]:
    rows = [[p.given, p.family, str(p.number), p.email, p.section] for p in people]
    return [["First Name", "Last Name", "SID", "Email", "Sections"], *rows]


def _github(people: tuple[Person, ...]) -> list[list[str]]:
    rows = [[p.email, _account(p), str(p.number * 7), p.name] for p in people]
    return [["identifier", "github_username", "github_id", "name"], *rows]


def _google(people: tuple[Person, ...]) -> list[list[str]]:
    rows = [[p.family, p.given, p.email, ""] for p in people]
    return [["Last Name", "First Name", "Email Address", "Exercise 02"], *rows]


ROSTERS = {
    "plain": _plain,
    "canvas": _canvas,
    "moodle": _moodle,
    "blackboard": _blackboard,
    "brightspace": _brightspace,
    "gradescope": _gradescope,
    "github": _github,
    "google": _google,
}


def roster(path: Path, system: str, people: tuple[Person, ...] = PEOPLE) -> Path:
    """Write a system's table of the class; Blackboard's is in UTF-16 with tabs, as it is."""
    held = io.StringIO(newline="")
    wide = system == "blackboard"
    csv.writer(held, delimiter="\t" if wide else ",").writerows(ROSTERS[system](people))
    path.write_text(held.getvalue(), encoding="utf-16" if wide else "utf-8-sig", newline="")
    return path


def main() -> None:
    """Write the forms that the command line names, and the rosters."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("form", nargs="?", choices=FORMS, default="")
    given = parser.parse_args()
    for name in [given.form] if given.form else FORMS:
        print(FORMS[name].write(given.out / name, one_each()))
    for system in ROSTERS:
        print(roster(given.out / f"{system}.csv", system))


if __name__ == "__main__":
    run_tool(main)
