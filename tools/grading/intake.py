"""Know the exports of learning systems: whose file it is, and when it was handed in.

``SYSTEMS`` is the one table of how they look. A place is taken for the export of one system if
two thirds of what lies in it look like it; else the names of folders, zips and files count. Names
that a student chose lie further in than the system's, so the outermost name is believed.
"""

from __future__ import annotations

import functools
import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import yaml

from tools.errors import CourseError
from tools.grading import names
from tools.grading.unpack import File

Parts = tuple[str, ...]


@dataclass(frozen=True)
class System:
    """A system, and the name of the file, folder or zip that its export has for each hand-in."""

    name: str
    shown: str
    looks: str
    pattern: re.Pattern[str]


def _like(text: str) -> re.Pattern[str]:
    return re.compile(text, re.I | re.S)


SYSTEMS = (
    System(
        "brightspace",
        "Brightspace",
        "12345-67890 - NAME - Nov 20, 2026 1010 AM",
        _like(
            r"(?P<id>\d+)-\d+ ?- ?(?P<name>.+?) ?- ?"
            r"(?P<time>[^-]*(?<!\d)20\d\d(?!\d)[^-]*)(?: - .*)?"
        ),
    ),
    System(
        "moodle",
        "Moodle",
        "NAME_123456_assignsubmission_file",
        _like(r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_(?:file|onlinetext)(?:_.*)?"),
    ),
    System(
        "blackboard",
        "Blackboard",
        "EXERCISE_LOGIN_attempt_2026-11-20-10-00-00_FILE",
        _like(
            r"(?:(?:(?!_attempt_\d{4}-).)*_)?(?P<id>[^_]+)_attempt_"
            r"(?P<time>\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d)(?:[_.].*)?"
        ),
    ),
    System(
        "canvas",
        "Canvas",
        "NAME_12345_67890_FILE",
        _like(
            r"(?P<name>[^_]+)_(?:(?P<late>LATE)_)?(?P<id>\d+)_(?P<serial>\d+)_"
            r".+?(?:-(?P<attempt>\d{1,2}))?(?:\.[^.]*)*"
        ),
    ),
    System(
        "google",
        "Google Classroom or Drive",
        "NAME - FILE",
        _like(r"(?!copy of )(?P<name>\S.*?) - (?=.*(?:ipynb|\d)).+"),
    ),
)
OTHERS = {
    "gradescope": "Gradescope",
    "github": "GitHub Classroom",
    "zips": "a zip for each student",
    "folders": "a folder for each student",
    "files": "a file for each student",
}
METADATA = ("submission_metadata.yml", "submission_metadata.yaml")
LARGEST_TABLE = 16 * 2**20  # bytes of it
KNOWN = (*(system.name for system in SYSTEMS), *OTHERS)
DRIVE_ZIP = re.compile(r"-20\d{6}T\d{6}Z-\d+(?:-\d+)?\.zip$")


@dataclass
class Owner:
    """Whose a file is. ``place`` is the same for files that were handed in together."""

    name: str = ""
    id: str = ""
    email: str = ""
    section: str = ""
    at: datetime | None = None
    attempt: int = 0
    serial: int = 0
    typed: bool = False  # the id is from a name that a person has typed
    late: bool = False  # the system says so, without a time
    place: Parts = ()
    alone: bool = False  # told by a file's own name, so another file of this name is not his
    others: list[str] = field(default_factory=list)  # further ids, by which a roster may know him
    notes: list[str] = field(default_factory=list)


@dataclass
class Verdict:
    """Which system a place was taken for, why in one line, and the owners of each file."""

    system: str
    why: str
    owners: list[list[Owner]]


def recognise(
    files: Sequence[File],
    tasks: Sequence[str | None],
    system: str = "",
    listed: Callable[[str], bool] = lambda text: False,
) -> Verdict:
    """Return whose each of ``files`` is: several for a group, none where nothing tells a person.

    ``tasks`` are the exercises that the files are of, "" where this is not known, None for what
    is no hand-in. ``system`` overrules what the names look like, and ``listed`` says whether a text
    is a student of the roster. Raises CourseError for an unknown system.
    """
    if system and system not in (*KNOWN, "plain"):
        known = ", ".join((*KNOWN, "plain"))
        raise CourseError(f"collecting submissions: SYSTEM={system} is not known. Known: {known}")
    of = {file.parts: task for file, task in zip(files, tasks) if task is not None}
    of = of or {file.parts: "" for file in files}
    chosen = list(of)
    told, why = _look(files, chosen, system)
    above = len(_wrapper([*chosen, *(f.parts for f in files if len(f.parts) > 1)]))
    plain = Plain(of, above, system, listed)
    if told == "gradescope":
        finder: Callable[[File], list[Owner]] = _Gradescope(files, plain)
    elif told == "github":
        finder = _GitHub(_repositories(chosen, bool(system)), plain)
    elif any(s.name == told for s in SYSTEMS):
        finder = _Named(next(s for s in SYSTEMS if s.name == told), files, plain)
    else:
        finder = plain
    return Verdict(told, why, [finder(file) for file in files])


def _look(files: Sequence[File], chosen: list[Parts], system: str) -> tuple[str, str]:
    """Return the system that the files look like, and why."""
    if system:
        return system, f"taken for {_shown(system)}, as SYSTEM={system} says"
    table, prefix, above = _metadata(files), _repositories(chosen), len(_wrapper(chosen))
    tests: dict[str, Callable[[Parts], object]] = {
        "gradescope": lambda parts: _entry_of(table, parts),
        **{s.name: functools.partial(_match, s) for s in SYSTEMS},
        "github": lambda parts: _after(prefix, parts) if prefix else None,
    }
    tests["google"] = tests.pop("google")  # the least special one comes last
    around = defaultdict(list)  # one vote for each folder, whatever a student has put into it
    for parts in chosen:
        around[parts[: above + 1]].append(parts)
    counts = {
        name: sum(any(test(parts) is not None for parts in group) for group in around.values())
        for name, test in tests.items()
    }
    looks = {s.name: s.looks for s in SYSTEMS}
    looks |= {"gradescope": f"the entries of {METADATA[0]}", "github": f"{prefix}LOGIN"}
    for name, count in counts.items():
        if count and count * 3 >= len(around) * 2:
            one = f"{count} of {len(around)} look like {looks[name]}"
            return name, f"taken for {_shown(name)}: {one}; SYSTEM=... says otherwise"
    told = _plain_kind(chosen)
    return told, f"taken for {_shown(told)}: no system's names; SYSTEM=... says otherwise"


def _plain_kind(chosen: list[Parts]) -> str:
    above = _wrapper(chosen)
    inner = [parts[len(above) :] for parts in chosen]
    zips = sum(any(p.lower().endswith(".zip") for p in parts) for parts in inner)
    if zips * 2 > len(inner):
        return "zips"
    return "folders" if sum(len(parts) > 1 for parts in inner) * 2 > len(inner) else "files"


def _shown(system: str) -> str:
    shown = OTHERS | {s.name: s.shown for s in SYSTEMS} | {"plain": "plain folders and files"}
    return (
        shown[system] if system in (*list(OTHERS)[2:], "plain") else f"an export of {shown[system]}"
    )


def _wrapper(chosen: Sequence[Parts]) -> Parts:
    """Return the folders and zips that are around everything."""
    first, last = min(chosen), max(chosen)
    above: Parts = ()
    for one, other in zip(first[:-1], last[:-1]):
        if one != other:
            break
        above = (*above, one)
    return above


# Names of people in the names of folders, zips and files


class Plain:
    """Find the owner where no system has written names: the outermost name of a person counts."""

    def __init__(
        self, of: dict[Parts, str], above: int, told: str, listed: Callable[[str], bool]
    ) -> None:
        self.of, self.above, self.told = of, above, told
        self.skip = self._listed_level(listed) or (1 if self._sections() else 0)
        self.nobody_below = not any(self._found(parts, self.above) for parts in of)
        self.one_each = max(Counter(of.values()).values(), default=0) <= 1

    def __call__(self, file: File) -> list[Owner]:
        """Return the owner of a file, or nothing."""
        parts = file.parts
        found = self._found(parts, self.above if len(self.of) > 1 else 0)
        if found is None and self.nobody_below and self.one_each:
            found = self._found(parts, 0)
        if found is None:
            return []
        at, person = found
        section = ""
        if self.skip and at > self.above:
            section = names.visible(names.ENDINGS.sub("", parts[self.above]))
        alone = at == len(parts) - 1
        owner = Owner(person.name, person.id, section=section, place=parts[: at + 1], alone=alone)
        owner.typed = True
        owner.others = names.ID.findall(parts[at].replace("_", " "))
        return [owner]

    def _found(self, parts: Parts, start: int) -> tuple[int, names.Person] | None:
        """Return the first part from ``start`` that names a person, groups left out."""
        persons = [(at, names.person(part)) for at, part in enumerate(parts)]
        persons = [(at, p) for at, p in persons if p and at >= start and self._counts(at, parts)]
        inner = [(at, person) for at, person in persons if at >= start + self.skip]
        return next(iter(inner or persons), None)

    def _listed_level(self, listed: Callable[[str], bool]) -> int:
        """Return how far in the names of the roster are: the level where most of them are."""
        levels: Counter[int] = Counter()
        for parts in self.of:
            for level, part in enumerate(parts[self.above :]):
                person = names.person(part)
                if person and (listed(person.name) or listed(person.id)):
                    levels[level] += 1
                    break
        return max(levels, key=lambda level: levels[level]) if levels else 0

    def _counts(self, at: int, parts: Parts) -> bool:
        """Return whether a part may name the student, as SYSTEM= says."""
        last, part = at == len(parts) - 1, parts[at]
        if DRIVE_ZIP.search(part):
            return False
        if self.told == "folders":
            return not last or len(parts) <= self.above + 1
        return last if self.told == "files" and self.above + 1 == len(parts) else True

    def _sections(self) -> bool:
        """Return whether the outermost folders are groups: in most of them several people are.

        Two folders for one exercise are two people; of files it takes three, as people keep
        versions.
        """
        below: dict[str, dict[tuple[str, int], set[str]]] = defaultdict(lambda: defaultdict(set))
        for parts, task in self.of.items():
            inner = parts[self.above :]
            if len(inner) > 1 and task and names.person(inner[0]):
                people = [(at, names.person(part)) for at, part in enumerate(inner) if at]
                found = next(((at, p.name or p.id) for at, p in people if p), None)
                if found:
                    least = 3 if found[0] == len(inner) - 1 else 2
                    below[inner[0]][task, least].add(found[1])
        several = sum(
            any(len(people) >= least for (_, least), people in tasks.items())
            for tasks in below.values()
        )
        return several > 0 and several * 3 >= len(below) * 2


# Systems with the name in the name of a file or folder


def _match(system: System, parts: Parts) -> tuple[int, re.Match[str]] | None:
    """Return the outermost part that looks like a system's, and how."""
    for at, part in enumerate(parts):
        if system.name == "google" and at < len(parts) - 1:
            continue
        found = system.pattern.fullmatch(part)
        if found and (system.name != "google" or names.person(found["name"])):
            return at, found
    return None


class _Named:
    """Find the owner by the pattern of one system, else as in plain folders."""

    def __init__(self, system: System, files: Sequence[File], plain: Plain) -> None:
        self.system, self.plain = system, plain
        self.logins = _logins(files) if system.name == "blackboard" else {}

    def __call__(self, file: File) -> list[Owner]:
        found = _match(self.system, file.parts)
        if found is None:
            return self.plain(file)
        at, match = found
        told = match.groupdict()
        owner = Owner(place=file.parts[: at + 1])
        owner.name = names.visible((told.get("name") or "").replace("_", " "))
        owner.id = told.get("id") or ""
        owner.at = moment(told["time"]) if told.get("time") else None
        owner.attempt = int(told.get("attempt") or 0)
        owner.serial = int((told.get("serial") or "0")[:18])
        owner.late = bool(told.get("late"))
        if self.system.name == "google":
            owner.alone = True
        if self.system.name == "blackboard":
            self._blackboard(owner, match)
        if self.system.name == "moodle" and re.fullmatch(r"participant", owner.name, re.I):
            owner.name = ""  # marked blind
        # A file that is handed in with others has the same id in its name, and not the same name.
        owner.place = (
            (*file.parts[:at], f"{owner.id}/{told.get('time', '')}") if owner.id else (owner.place)
        )
        return [owner]

    def _blackboard(self, owner: Owner, match: re.Match[str]) -> None:
        """Take name and login from the text beside the files: a login may have a _ in it."""
        whole = match.string[: match.start("time") - len("_attempt_")]
        for login, name in self.logins.items():
            if whole == login or whole.endswith("_" + login):
                owner.id, owner.name = login, name
                return


def _logins(files: Sequence[File]) -> dict[str, str]:
    """Return the names by login that Blackboard's own text files tell, the longest login first.

    What a student has uploaded has a file's name after the time, so it is not one of them.
    """
    found = {}
    for file in files:
        own = re.fullmatch(r"((?:(?!_attempt_\d{4}-).)+)_attempt_[\d-]{19}\.txt", file.parts[-1])
        text = file.content[:4096].decode("utf-8-sig", "replace") if own else ""
        told = re.search(r"^[^:\n]{1,20}: *(.{1,200}?) *\(([^()\n]{1,100})\)\s*$", text, re.M)
        login = names.visible(told[2]) if told else ""
        if own and told and (own[1] == login or own[1].endswith("_" + login)):
            found[login] = names.visible(told[1])
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


# Gradescope


def _metadata(files: Sequence[File]) -> dict[Parts, dict[str, Any]]:
    """Return the tables of Gradescope by their folder: the outermost ones, and none inside them."""
    tables: dict[Parts, dict[str, Any]] = {}
    for file in sorted(files, key=lambda file: len(file.parts)):
        above = file.parts[:-1]
        if file.parts[-1] not in METADATA or not file.whole:
            continue
        if any(above[: len(other)] == other for other in tables):
            continue
        table = _loaded(file.content)
        if table:
            tables[above] = table
    return tables


def _loaded(content: bytes) -> dict[str, Any]:
    """Return the submitters and the time of each entry in a file of Gradescope's.

    The file is cut into its entries first, and of each only these two lines are read: it has the
    whole history of a class, and may be made by anybody.
    """
    table: dict[str, Any] = {}
    text = content[:LARGEST_TABLE].decode("utf-8-sig", "replace").replace("\r\n", "\n") + "\n"
    for entry in re.split(r"^(?=[^\s:#-])", text, flags=re.M)[:5_000]:
        key = re.match(r"""["']?([^\n"']{1,300}?)["']?:[ \t]*\n""", entry)
        blocks = re.findall(
            r"^  :?(submitters|created_at):((?:.*\n)(?:  (?!:?\w).*\n)*)", entry, re.M
        )
        if key and blocks and len(entry) < 200_000:
            told = {name: _yaml(block[:20_000]) for name, block in blocks[:2]}
            if isinstance(told.get("submitters"), list):
                table[names.visible(key[1], 300)] = told
    return table


def _yaml(block: str) -> Any:
    """Return what a few lines of YAML say; None if they say nothing."""
    block = re.sub(r"(?<=: )&\d+ ", "", block)  # a mark that Ruby sets for use further down
    if "&" in block or "*" in block or block.count("[") + block.count("{") > 100:
        return None  # it refers to other parts of itself, or is nested without need
    try:
        return yaml.load(textwrap.dedent(block.lstrip("\n")).strip(), Loader=yaml.SafeLoader)
    except Exception:  # besides YAMLError a hostile file raises ValueError, RecursionError ...
        return None


def _field(entry: Any, name: str) -> str:
    """Return a text or number of an entry, with the colon that Ruby writes or without."""
    value = entry.get(f":{name}", entry.get(name)) if isinstance(entry, dict) else None
    return names.visible(str(value)) if isinstance(value, (str, int)) else ""


def _entry_of(tables: dict[Parts, dict[str, Any]], parts: Parts) -> tuple[Parts, Any] | None:
    for above, table in tables.items():
        inner = parts[len(above) :]
        if parts[: len(above)] == above and inner:
            for key in (inner[0], re.sub(r"\.zip$", "", inner[0], flags=re.I)):
                if key in table:
                    return (*above, inner[0]), table[key]
    return None


class _Gradescope:
    """Find the owners in submission_metadata.yml; a group has several."""

    def __init__(self, files: Sequence[File], plain: Plain) -> None:
        self.tables, self.plain = _metadata(files), plain

    def __call__(self, file: File) -> list[Owner]:
        found = _entry_of(self.tables, file.parts)
        if found is None:
            return []
        place, entry = found
        at = entry.get("created_at")
        at = at if isinstance(at, datetime) else None
        owners = []
        for one in entry["submitters"][:50]:
            name, sid, email = (_field(one, key) for key in ("name", "sid", "email"))
            owners.append(Owner(name, sid, email, at=at, place=place))
        for owner in owners if len(owners) > 1 else []:
            together = ", ".join(o.name or o.email for o in owners if o is not owner)
            owner.notes.append(f"handed in together with {together}")
        return owners


# GitHub Classroom


def _repositories(chosen: list[Parts], sure: bool = False) -> str:
    """Return what the names of all repositories begin with, such as "exercise-02-"; else "".

    It must name an exercise or be the name of the folder around them, unless one is ``sure``.
    """
    above = _wrapper(chosen)
    if not all(len(parts) > len(above) + 1 for parts in chosen):
        return ""
    folders = sorted({parts[len(above)] for parts in chosen})
    if not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", folder) for folder in folders):
        return ""
    if above and above[-1].endswith("-submissions"):
        prefix = above[-1].removesuffix("submissions")
        return prefix if all(folder.startswith(prefix) for folder in folders) else ""
    first, last = folders[0], folders[-1]
    length = next((n for n, (a, b) in enumerate(zip(first, last)) if a != b), len(first))
    common = first[: first.rfind("-", 0, length) + 1]
    for stem, pattern in names.exercise_patterns():
        if found := re.match(rf"(?:.+-)?{pattern.pattern}-", common, re.I):
            return found[0]
        title = stem.split("_", 1)[1].replace("_", "-") + "-"
        if title in common:
            return common[: common.index(title) + len(title)]
    task = re.match(rf"(?:.+-)?(?:{names.TASKS})-?\d+-", common, re.I)
    return task[0] if task else common if sure else ""


def _after(prefix: str, parts: Parts) -> tuple[int, str] | None:
    for at, part in enumerate(parts[:-1]):
        around = part == prefix + "submissions"
        if part.startswith(prefix) and len(part) > len(prefix) and not around:
            return at, part[len(prefix) :]
    return None


class _GitHub:
    """Find the owner by the name of the repository: the exercise, and the login."""

    def __init__(self, prefix: str, plain: Plain) -> None:
        self.prefix, self.plain = prefix, plain

    def __call__(self, file: File) -> list[Owner]:
        found = _after(self.prefix, file.parts) if self.prefix else None
        if found is None:
            return self.plain(file)
        at, login = found
        login = re.sub(r"\.zip$", "", login, flags=re.I)
        return [Owner(login, login, place=file.parts[: at + 1])]


# Times

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def moment(text: str) -> datetime | None:
    """Return the time that a system writes, with its zone if it says one; None if it is none."""
    text = names.visible(text)
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text).replace(" Z", "+00:00"))
    except ValueError:
        pass
    day = _day(text)
    clock = re.search(r"(?<!\d)(\d{1,2})[:.-]?(\d\d)(?:[:.-](\d\d))?(?: ?([AP])\.?M)?$", text, re.I)
    if day is None or clock is None:
        return None
    hour, minute, second = int(clock[1]), int(clock[2]), int(clock[3] or 0)
    half = (clock[4] or ("P" if "오후" in text else "A" if "오전" in text else "")).upper()
    hour = hour % 12 + (12 if half == "P" else 0) if half else hour
    try:
        return datetime(*day, hour, minute, second)
    except ValueError:
        return None


def _day(text: str) -> tuple[int, int, int] | None:
    numbers = re.search(r"(20\d\d)(?:-|년 ?|/|\. ?)(\d{1,2})(?:-|월 ?|/|\. ?)(\d{1,2})", text)
    if numbers:
        return int(numbers[1]), int(numbers[2]), int(numbers[3])
    month = re.search(rf"\b({'|'.join(MONTHS)})[a-z]*\b", text, re.I)
    year = re.search(r"(?<!\d)20\d\d(?!\d)", text)
    day = re.search(r"\b([0-3]?\d)\b", text)
    if not (month and year and day):
        return None
    return int(year[0]), MONTHS.index(month[1].lower()) + 1, int(day[1])
