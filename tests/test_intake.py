"""Every hand-in finds its student, in every form in which systems give them, and stops nobody."""

import csv
import hashlib
import io
import json
import os
import re
import struct
import subprocess
import sys
import unicodedata
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import hand_ins
from tests.hand_ins import FORMS, PEOPLE, ROSTERS, STEM, handed_in, one_each, put, zipped
from tools import notebooks
from tools.errors import CourseError
from tools.grading import contents, intake, late, names, roster, score, submissions, unpack

OTHER = "01_convolution_by_hand"
ANA, BEN, MINSU = PEOPLE[8], PEOPLE[16], PEOPLE[0]
GOOD = handed_in(ANA)
ZIP = zipped({f"kim/{STEM}.ipynb": GOOD, "lee.zip": zipped({"x.ipynb": GOOD})})
KEY = re.compile(r"[a-z0-9._-]{1,100}")


def collect(place, files=None, **given):
    return submissions.collect(put(place, files) if files is not None else place, **given)


def sha(content):
    return hashlib.sha256(content).hexdigest()


def told(rows):
    """Return (name, id, status) of each row."""
    return [(row.student.name, row.student.id, row.status) for row in rows]


# Twenty hand-ins with twenty known owners, in every form


@pytest.mark.parametrize("name", FORMS)
def test_each_form_gives_every_hand_in_to_its_student(tmp_path, capsys, name):
    people, form = one_each(), FORMS[name]
    owners = {sha(content): person for person, content in people.items()}
    rows = submissions.collect(form.write(tmp_path, people))
    said = capsys.readouterr().out
    assert "taken for" in said and said.count("\n") == 1, "one line says which system, and why"
    assert {row.system for row in rows} == {form.system}
    assert sorted(row.digest for row in rows) == sorted(owners)
    for row in rows:
        person = owners[row.digest]
        expected = form.told(person)
        got = {key: getattr(row.student, key) for key in expected}
        if "(2)" in got.get("name", ""):  # the second of two Minsu Kims, or his copy: who knows
            assert person.login == "kms_77"
            got["name"] = got["name"].removesuffix(" (2)")
        assert got == expected, row.file
        assert (row.assignment, row.status, row.counts) == (STEM, "", True)
        assert f"author = {person.number}" in "".join(c.source for c in row.notebook.cells)
    keys = [row.key for row in rows]
    assert len(set(keys)) == 20 and all(KEY.fullmatch(key) for key in keys)
    again = submissions.collect(form.write(tmp_path, people))
    assert [row.key for row in again] == keys, "a key stays from run to run"


def test_times_are_told_where_the_export_has_them(tmp_path):
    people = one_each()
    owners = {sha(content): person for person, content in people.items()}
    for name in ("blackboard", "brightspace", "gradescope"):
        for row in submissions.collect(FORMS[name].write(tmp_path / name, people)):
            at, person = row.at, owners[row.digest]
            if name == "gradescope":  # it says them in UTC, with the zone
                at = at.astimezone(hand_ins.KST).replace(tzinfo=None)
            wanted = person.at.replace(second=0) if name == "brightspace" else person.at
            assert at == wanted, name


@pytest.mark.parametrize("system", ROSTERS)
def test_each_roster_finds_its_students(tmp_path, system):
    """With a system's own table its own export finds all; the school's finds whom it can."""
    people = one_each()
    owners = {sha(content): person for person, content in people.items()}
    table = hand_ins.roster(tmp_path / "class.csv", system)
    assert roster.read(table).system == ("" if system == "plain" else system)
    by_name = system in ("google", "plain")  # two Minsu Kims, and Korean names
    for name, form in FORMS.items():
        if form.system != system and system != "plain":
            continue
        rows = submissions.collect(form.write(tmp_path / name, people), roster=table)
        there = [row for row in rows if row.file]
        assert len(there) == 20 and len(rows) == 20 + sum(not r.student.listed for r in there)
        for row in there:
            own = dict(row.student.more).values()
            if row.student.listed:
                person = owners[row.digest]
                assert {str(person.number), person.email, person.sid} & set(own), row.file
            else:
                assert by_name and any(note.startswith("whose?") for note in row.notes)
        missing = [row for row in rows if not row.file]
        assert {row.status for row in missing} <= {"not handed in"}
        assert len({row.key for row in rows}) == len(rows)


# The table of ../class/README.md, row by row, and what else was seen


def test_canvas(tmp_path):
    rows = collect(
        tmp_path,
        {
            f"kimminsu_12345_998877_{STEM}.ipynb": GOOD,
            f"leejiwoo_LATE_12346_998878_{STEM}-1.ipynb": GOOD,
            f"leejiwoo_LATE_12346_998800_{STEM}.ipynb": GOOD,
        },
    )
    assert told(rows) == [
        ("kimminsu", "12345", ""),
        ("leejiwoo", "12346", ""),
        ("leejiwoo", "12346", "handed in twice"),
    ]
    assert "-1.ipynb" in rows[1].file and rows[1].counts and not rows[2].counts
    assert "-1.ipynb" in rows[2].sentence
    assert any("late" in note for note in rows[1].notes)


def test_blackboard_text_is_no_hand_in_unless_it_is_all(tmp_path):
    above = "Exercise 02_{}_attempt_2026-11-20-10-00-00"
    rows = collect(
        tmp_path,
        {
            above.format("k_ms") + f"_{STEM}.ipynb": GOOD,
            above.format("k_ms") + ".txt": b"Name: Minsu Kim (k_ms)\n",
            above.format("lee") + ".txt": b"Name: Jiwoo Lee (lee)\n",
        },
    )
    assert told(rows) == [("Jiwoo Lee", "lee", "not a notebook"), ("Minsu Kim", "k_ms", "")]
    assert rows[1].at == datetime(2026, 11, 20, 10, 0, 0)


def test_gradescope_groups_and_a_forged_table(tmp_path):
    table = (
        "submission_1:\n  :submitters:\n  - :name: Ana\n    :sid: '1'\n"
        "  - :name: Ben\n    :sid: '2'\n  :created_at: 2026-11-20 01:00:00.000000000 Z\n"
    )
    forged = table.replace("Ana", "Mal").replace("submission_1", "x")
    rows = collect(
        tmp_path,
        {
            "export/submission_metadata.yml": table.encode(),
            f"export/submission_1/{STEM}.ipynb": GOOD,
            "export/submission_1/submission_metadata.yml": forged.encode(),
            f"export/submission_1/x/{STEM}.ipynb": GOOD,
        },
    )
    assert {row.student.name for row in rows} == {"Ana", "Ben"}
    assert len({row.key for row in rows}) == len(rows)
    assert any("together with Ben" in note for note in rows[0].notes)


def test_a_table_that_refers_to_itself_costs_nothing(tmp_path):
    laughs = "\n".join(f"  - &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))
    table = f"s1:\n  :submitters:\n  - &a0 x\n{laughs}\n  - :name: *a29\n" + "s2: " + "[" * 100_000
    rows = collect(tmp_path, {"submission_metadata.yml": table.encode(), "s1/x.ipynb": GOOD})
    assert [row.status for row in rows] == [""]


def test_a_forged_table_in_a_zip_gives_nothing_to_others(tmp_path):
    table = b"x:\n  :submitters:\n  - :name: Ben\n    :sid: '2'\n"
    evil = zipped({"submission_metadata.yml": table, f"x/{STEM}.ipynb": GOOD})
    rows = collect(
        tmp_path, {f"{n}.zip": zipped({"1.ipynb": GOOD}) for n in ("a", "b")} | {"mal.zip": evil}
    )
    assert [row.student.name for row in rows] == ["a", "b", "mal"]


def test_no_name_that_a_student_chose_is_taken_for_the_systems(tmp_path):
    """Mal's files are called like Lee's; each must stay Mal's, whatever the system."""
    listed = table(tmp_path / "class.csv", "name,id\nMal,7\nLee,8\n")
    at, evil = "_attempt_2026-11-20-10-00-00", "_attempt_2026-11-21-10-00-00"
    forged = "submission_1:\n  :submitters:\n  - :name: Lee\n    :sid: '8'\n"
    many = {f"lee_8_{98765 + n}_{n}.ipynb": GOOD for n in range(40)}
    places = {
        "canvas": {
            f"mal_7_98765_lee_8_98766_{STEM}.ipynb": GOOD,
            f"lee_8_98764_{STEM}.ipynb": GOOD,
        },
        "moodle": {
            f"Mal_7_assignsubmission_file_/Lee_8_assignsubmission_file_/{STEM}.ipynb": GOOD,
            f"Lee_8_assignsubmission_file_/{STEM}.ipynb": GOOD,
        },
        "blackboard": {
            f"E_mal{at}_E_lee{evil}_{STEM}.ipynb": GOOD,
            f"E_mal{at}_E_lee{evil}.txt": b"Name: Mal (lee)\n",
            f"E_mal{at}.txt": b"Name: Mal (mal)\n",
            f"E_lee{at}_{STEM}.ipynb": GOOD,
            f"E_lee{at}.txt": b"Name: Lee (lee)\n",
        },
        "zips": {
            "mal.zip": zipped(many | {"submission_metadata.yml": forged.encode()}),
            "lee.zip": zipped({"x.ipynb": GOOD}),
        },
        "folders": {f"mall/Lee/{STEM}.ipynb": GOOD, f"Lee/{STEM}.ipynb": GOOD},
    }
    for system, files in places.items():
        rows = collect(tmp_path / system, files, roster=listed)
        of_lee = [row for row in rows if row.student.id == "8" and row.file]
        assert len(of_lee) == 1 and "mal" not in of_lee[0].file.lower(), system
        assert {row.system for row in rows} == {system}


@pytest.mark.parametrize("prefix", ["exercise-02-", "02-padding-and-stride-", "hw2-"])
def test_github_logins_with_hyphens(tmp_path, prefix):
    """What all names begin with is not all of it: kim-a and kim-b both begin with kim-."""
    rows = collect(
        tmp_path,
        {
            f"{prefix}{login}/{file}": GOOD if file.endswith("ipynb") else b"x"
            for login in ("kim-a", "kim-b")
            for file in (f"{STEM}.ipynb", "README.md", "00_notes.txt", "data/x.csv")
        },
    )
    assert told(rows) == [("kim-a", "kim-a", ""), ("kim-b", "kim-b", "")]


def test_one_zip_for_each_student_is_one_row_for_each(tmp_path):
    """The gravest of all: every student got the mark of whoever was graded last."""
    people = {"kim": 1, "lee": 2, "park": 3}
    made = {n: GOOD.replace(b"20260009", str(k).encode()) for n, k in people.items()}
    rows = collect(tmp_path, {f"{n}.zip": zipped({f"{STEM}.ipynb": made[n]}) for n in people})
    assert {row.student.name: row.digest for row in rows} == {
        name: sha(content) for name, content in made.items()
    }
    assert rows[0].file == f"kim.zip > {STEM}.ipynb"


def test_two_people_of_one_name_are_never_one(tmp_path):
    files = [f"Ana (2)_{STEM}.ipynb", f"Ana-{STEM}.ipynb", f"Ana_{STEM}.ipynb", f"Ben_{STEM}.ipynb"]
    rows = collect(tmp_path, {file: GOOD + b" " * n for n, file in enumerate(files)})
    assert [row.student.name for row in rows] == ["Ana", "Ana", "Ana (2)", "Ben"]
    assert len({row.key for row in rows}) == 4 and all(row.counts for row in rows)
    assert sum("same name" in " ".join(row.notes) for row in rows) == 2


@pytest.mark.parametrize(
    "file",
    [
        f"{STEM}.ipynb의 사본의 사본.ipynb",
        f"{STEM}.ipynb의 사본",
        f"{STEM} (1).ipynb",
        "(1).ipynb",
        f"Copy of {STEM}.ipynb",
        "Untitled3.ipynb",
        "과제 2.ipynb",
    ],
)
def test_a_name_that_names_nobody_is_asked_about(tmp_path, capsys, file):
    (row,) = collect(tmp_path, {file: GOOD})
    assert (row.student.name, row.student.id, row.status, row.who) == ("", "", "", row.file)
    assert any(note.startswith("whose?") for note in row.notes) and row.notebook
    assert row.file in capsys.readouterr().out and KEY.fullmatch(row.key)


@pytest.mark.parametrize(
    ("file", "name", "number"),
    [
        (f"Kim Minji_{STEM}.ipynb", "Kim Minji", ""),
        (f"Kim Minji_{STEM} (1).ipynb", "Kim Minji", ""),
        (f"Copy of {STEM} - Ana.ipynb", "Ana", ""),
        (f"Copy of {STEM} (Lee Jiwoo).ipynb", "Lee Jiwoo", ""),
        (f"박지성_{STEM}.ipynb의 사본.ipynb", "박지성", ""),
        ("20261234 홍길동_과제2.ipynb", "홍길동", "20261234"),
        ("Kim_2026001_hw2.ipynb", "Kim", "2026001"),
        (f"doe jane_123_assignsubmission_file_{STEM}.ipynb", "doe jane", "123"),
        (unicodedata.normalize("NFD", f"김민지_{STEM}.ipynb"), "김민지", ""),
        (f"O'Neil, Åsa/{STEM}/anything.ipynb", "O'Neil, Åsa", ""),
        ("kim.ipynb.txt", "kim", ""),
        ("KIM.IPYNB", "KIM", ""),
    ],
)
def test_names_in_names(tmp_path, file, name, number):
    (row,) = collect(tmp_path, {file: GOOD})
    assert told([row]) == [(name, number, "")]


@pytest.mark.parametrize(
    "around",
    ["submissions/{}/x.ipynb", "CS101/{}/x.ipynb", "CS101/week 2/{}_x.ipynb", "A/{}/2.ipynb"],
)
def test_a_folder_around_everything_is_nobody(tmp_path, around):
    rows = collect(tmp_path, {around.format(name): GOOD for name in ("kim", "lee")})
    assert [row.student.name.removesuffix(" x") for row in rows] == ["kim", "lee"]


def test_a_folder_around_two_nameless_files_is_no_student(tmp_path):
    rows = collect(tmp_path, {f"CS101/{STEM}.ipynb": GOOD, f"CS101/{STEM} (1).ipynb": GOOD + b" "})
    assert [row.student.name for row in rows] == ["", ""] and all(row.counts for row in rows)


def test_sections_with_students_of_one_name(tmp_path):
    rows = collect(
        tmp_path, {f"{s}반/{n}/{STEM}.ipynb": GOOD for s in "AB" for n in ("김민수", "이지우")}
    )
    assert [(row.student.name, row.student.section) for row in rows] == [
        ("김민수", "A반"), ("김민수", "B반"), ("이지우", "A반"), ("이지우", "B반"),
    ]  # fmt: skip
    assert len({row.key for row in rows}) == 4 and all(row.counts for row in rows)


def test_side_files_are_no_hand_ins(tmp_path):
    rows = collect(
        tmp_path,
        {
            f"kim/{STEM}.ipynb": GOOD,
            "kim/README.md": b"x",
            "kim/00_notes.txt": b"x",
            "kim/data/a.csv": b"1",
            "kim/paper.pdf": b"%PDF",
            "lee/README.md": b"x",
            "park/photo.png": b"\x89PNG",
            "README.md": b"x",
            "index.html": b"<html>",
            "grades.csv": b"a,b",
        },
    )
    assert told(rows) == [
        ("kim", "", ""),
        ("lee", "", "not a notebook"),
        ("park", "", "not a notebook"),
    ]


def test_system_overrules_and_is_checked(tmp_path):
    files = {f"kim_12345_99887_{STEM}.ipynb": GOOD}
    assert told(collect(tmp_path, files)) == [("kim", "12345", "")]
    assert told(collect(tmp_path, system="plain"))[0][0] != "kim"
    with pytest.raises(CourseError, match="SYSTEM=mooddle is not known"):
        collect(tmp_path, system="mooddle")


def test_system_files_reads_names_from_files_alone(tmp_path):
    files = {f"jane/{name}_{STEM}.ipynb": GOOD for name in ("kim", "lee")}
    rows = collect(tmp_path, files, system="files")
    assert [row.student.name for row in rows] == ["kim", "lee"]


# Names from Windows, and names that are no names


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("김민수", "cp949"), ("홍길동_A반", "cp949"), ("이지우 (2)", "cp949"),
        ("田中太郎", "cp932"), ("ソフィア 表", "cp932"), ("さくら", "cp932"),
        ("José Muñoz Peña", "cp437"), ("Pérez", "cp437"), ("김민수", "utf-8"), ("田中", "utf-8"),
    ],
)  # fmt: skip
def test_names_from_windows_in_zips_and_on_disk(tmp_path, name, encoding):
    packed = put(tmp_path, {"class.zip": zipped({f"{name}/{STEM}.ipynb": GOOD}, encoding)})
    (row,) = submissions.collect(packed / "class.zip")
    assert row.student.name == name.replace("_", " ")
    folder = tmp_path / "unpacked"
    western = "cp1252" if encoding == "cp437" else encoding
    below = os.fsencode(folder) + b"/" + name.encode(western)
    os.makedirs(below)
    Path(os.fsdecode(below), f"{STEM}.ipynb").write_bytes(GOOD)
    (row,) = submissions.collect(folder)
    assert row.student.name == name.replace("_", " ") and row.status == ""
    row.file.encode(), row.key.encode("ascii")


def test_bytes_that_are_no_name_stop_nobody(tmp_path):
    for n, raw in enumerate([b"kim\xff_\xfe", b"\x80\x81\x82", b"a\x1b[31mred\x1b[0m", b"x\ny"]):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + raw + b".ipynb")).write_bytes(
            GOOD + b" " * n
        )
    Path(tmp_path, "\u202egnp.ipynb").write_bytes(GOOD)
    rows = submissions.collect(tmp_path)
    assert len(rows) == 5 and len({row.key for row in rows}) == 5
    for row in rows:
        assert row.who
        for text in (row.who, row.file, row.student.name, *row.notes):
            assert text.isprintable()
            text.encode()
    assert {"ared", "x y", "gnp"} <= {row.student.name for row in rows}


def test_names_with_nul_and_ways_out(tmp_path):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as packed:
        for name in (f"../../../kim/{STEM}.ipynb", f"/etc/{STEM}.ipynb", f"C:\\lee\\{STEM}.ipynb"):
            packed.writestr(name, GOOD)
        packed.writestr("park.ipynb", GOOD)
        link = zipfile.ZipInfo("link.ipynb")
        link.external_attr = 0o120777 << 16
        packed.writestr(link, "/etc/passwd")
    content = held.getvalue().replace(b"park.ipynb", b"par\0.ipynb")
    before = sorted(tmp_path.rglob("*"))
    rows = submissions.collect(put(tmp_path / "in", {"class.zip": content}))
    assert len(rows) == 4 and {"kim", "etc"} <= {row.student.name for row in rows}
    assert sorted(p for p in tmp_path.rglob("*") if "in" not in p.parts) == before


# What is no notebook


def one_cell(**cell):
    notebook = json.loads(GOOD)
    notebook["cells"][1] |= cell
    return notebook


@pytest.mark.parametrize(
    ("name", "content", "status", "says"),
    [
        ("kim.rar", b"Rar!\x1a\x07\x01\x00", "not a notebook", "rar archive"),
        ("kim.7z", b"7z\xbc\xaf\x27\x1c\0\4", "not a notebook", "7z archive"),
        ("kim.ipynb", GOOD.decode().encode("utf-16"), "not a notebook", "UTF-16"),
        ("kim.ipynb", b'{"worksheets": [{"cells": []}], "nbformat": 3}', "not a notebook", "2014"),
        ("kim.py", b"# -*- coding: utf-8 -*-\nimport numpy as np\n", "not a notebook", "Python"),
        ("kim.ipynb", b"import numpy as np\nx = 1\n", "not a notebook", "Python"),
        ("kim.pdf", b"%PDF-1.4", "not a notebook", "PDF"),
        ("kim.html", b"<!DOCTYPE html><html>", "not a notebook", "web page"),
        ("kim.ipynb", b"<html>", "not a notebook", "web page"),
        ("kim.docx", b"PK\3\4", "not a notebook", "Office"),
        ("kim.ipynb", b"", "empty", "empty"),
        ("kim.ipynb", b"\0" * 1000, "empty", "empty"),
        ("kim.ipynb", b'{"cells": []}', "empty", "no cells"),
        ("kim.ipynb", GOOD[:5000], "truncated", "breaks off"),
        ("kim.ipynb", b"[" * 100_000, "not a notebook", "nested"),
        ("kim.ipynb", b'{"a":' * 50_000, "not a notebook", "nested"),
        ("kim.ipynb", b'{"cells": 7}', "not a notebook", "no cells"),
        ("kim.ipynb", b"x" * (submissions.LARGEST + 1), "too large", "20 MB"),
        ("kim.zip", b"Rar!\x1a\x07\x01\x00", "unreadable", "rar archive"),
        ("kim.zip", b"PK\3\4 and no more", "unreadable", "zip"),
        ("kim.zip", b"", "empty", "empty"),
        ("kim.zip", zipped({}), "empty", "no file"),
        ("kim.zip", zipped({".DS_Store": b"x"}), "empty", "no file"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_says_what_to_do(tmp_path, name, content, status, says):
    rows = collect(tmp_path, {name: content, "ana.ipynb": GOOD})
    kim = next(row for row in rows if row.student.name == "kim")
    assert (kim.status, kim.notebook) == (status, None)
    assert says in kim.sentence and len(kim.sentence) < 250
    assert [row.status for row in rows if row.student.name == "ana"] == [""]


def test_a_zip_in_capitals(tmp_path):
    assert told(collect(tmp_path, {"kim.ZIP": zipped({"x.ipynb": GOOD})})) == [("kim", "", "")]


def test_a_notebook_is_kept_in_its_barest_form(tmp_path):
    notebook = one_cell(
        id="\ud800" + "x" * 500,
        source=["a = '\ud800'\r\n", "b = '\0'", 7],
        metadata={
            "deep": 1,
            "nbgrader": {"grade_id": "x\ud800", "points": 10**400},
            "tags": [[], "t"],
        },
        outputs=[{"output_type": "stream", "text": "z" * 10_000}],
    )
    notebook["metadata"]["widgets"] = {"x": "y" * 1000}
    for name in ("a", "b"):
        put(tmp_path, {f"{name}.ipynb": json.dumps(notebook).encode()})
    row = submissions.collect(tmp_path)[0]
    cell = row.notebook.cells[1]
    assert len(cell.id) == 64 and cell.id.isascii()
    assert cell.source == "a = '\ufffd'\nb = '\ufffd'"
    assert cell.metadata == {"nbgrader": {"grade_id": "x\ufffd"}, "tags": ["t"]}
    assert "outputs" not in cell and "widgets" not in row.notebook.metadata
    json.dumps(row.notebook, ensure_ascii=False).encode()
    assert len(row.packed) < 20_000 and contents.packed(row.notebook) == row.packed


def test_deep_metadata_is_dropped_and_harms_nobody(tmp_path):
    text = json.dumps(one_cell(metadata={"x": "HERE"}))
    deep = text.replace('"HERE"', "[" * 900 + "]" * 900).encode()
    rows = collect(tmp_path, {"kim.ipynb": deep, "ana.ipynb": GOOD})
    assert told(rows) == [("ana", "", ""), ("kim", "", "")]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda n: n["cells"].extend([n["cells"][0]] * 2001), "2,000 cells"),
        (lambda n: n["cells"][0].update(source="x" * (2 * 2**20)), "2 MB of text"),
        (lambda n: n["metadata"].update(x=[[]] * 1_100_000), "too many parts"),
    ],
)
def test_a_notebook_with_too_much_in_it(tmp_path, change, says):
    notebook = json.loads(GOOD)
    change(notebook)
    (row,) = collect(tmp_path, {"kim.ipynb": json.dumps(notebook).encode()})
    assert row.status == "too large" and says in row.sentence


# Which exercise


def changed(**cells):
    """Return a released notebook whose cells of a kind were changed."""
    notebook = json.loads(GOOD)
    for cell in notebook["cells"]:
        kind = cell["id"].split("-")[0]
        if kind in cells:
            cell["source"] = cells[kind](cell)
    return json.dumps(notebook).encode()


def first_line(cell):
    return "".join(cell["source"]).split("\n")[0]


@pytest.mark.parametrize(
    "content",
    [
        changed(question=lambda cell: "번역: " + cell["id"]),
        changed(question=lambda cell: "x", check=first_line),
        changed(check=lambda cell: "pass"),
        changed(answer=lambda cell: "pass", question=lambda cell: "x"),
    ],
    ids=["translated", "answers only", "checks emptied", "checks only"],
)
def test_an_edited_notebook_is_still_known(tmp_path, content):
    (row,) = collect(tmp_path, {"kim.ipynb": content})
    assert (row.status, row.assignment) == ("", STEM)


def test_all_exercises_know_themselves_and_no_lesson():
    for path in notebooks.masters():
        for notebook in (score.released(path), notebooks.read(path)):
            best, share = submissions.which(notebook)
            assert best == path.stem and share > 0.9
    for path in notebooks.lessons():
        notebook, _, _ = submissions.read(path.read_bytes())
        assert submissions.which(notebook)[1] < 0.5, path.stem


def test_what_says_nothing_is_believed_to_be_what_was_asked_for():
    notebook = json.loads(changed(question=lambda c: "x", check=first_line, answer=first_line))
    notebook, _, _ = submissions.read(json.dumps(notebook).encode())
    notebook.cells[0].source = "x"
    assert submissions.which(notebook)[1] < 0.5
    assert submissions.which(notebook, OTHER) == (OTHER, 0.5)


def test_another_exercise_is_named_and_counts_only_alone(tmp_path):
    other = next(p for p in notebooks.releases() if p.stem == OTHER).read_bytes()
    rows = collect(
        tmp_path,
        {"kim/x.ipynb": other, f"lee/{STEM}.ipynb": GOOD, f"lee/{OTHER}.ipynb": other},
        assignment=STEM,
    )
    assert told(rows) == [("kim", "", "wrong assignment"), ("lee", "", "")]
    assert OTHER in rows[0].sentence and OTHER in " ".join(rows[1].notes)
    rows = submissions.collect(tmp_path)
    assert [(row.student.name, row.assignment) for row in rows] == [
        ("kim", OTHER), ("lee", OTHER), ("lee", STEM),
    ]  # fmt: skip


def test_an_untouched_notebook_is_told(tmp_path):
    release = next(p for p in notebooks.releases() if p.stem == STEM).read_bytes()
    rows = collect(tmp_path, {"ana.ipynb": GOOD, "kim.ipynb": release})
    assert ["as it was released" in " ".join(row.notes) for row in rows] == [False, True]


# Twice


def moodle_like(folder, stamps):
    """Write one student's hand-ins as Brightspace does, at these hours, each its own."""
    for n, hour in enumerate(stamps):
        put(folder, {f"1-2 - Kim - Nov 20, 2026 {hour}00 AM/x.ipynb": GOOD + b" " * n})
    return folder


def test_the_newest_counts_or_the_first(tmp_path):
    place = moodle_like(tmp_path, [9, 11, 10])
    for keep, hour in (("newest", 11), ("first", 9)):
        rows = submissions.collect(place, keep=keep)
        assert [row.at.hour for row in rows if row.counts] == [hour]
        others = [row for row in rows if not row.counts]
        assert [row.status for row in others] == ["handed in twice"] * 2
        assert all(f"{hour}00 AM" in row.sentence and row.notebook is None for row in others)
        assert len({row.key for row in rows}) == 3
    with pytest.raises(CourseError, match="KEEP=best"):
        submissions.collect(place, keep="best")


def test_a_broken_second_file_does_not_replace_the_first(tmp_path):
    place = moodle_like(tmp_path, [9])
    put(place, {"1-2 - Kim - Nov 20, 2026 1100 AM/x.ipynb": b"{"})
    (row,) = submissions.collect(place)
    assert row.status == "" and row.at.hour == 9 and "x.ipynb" in " ".join(row.notes)


def test_the_key_of_what_counts_does_not_change_by_handing_in_again(tmp_path):
    place = moodle_like(tmp_path, [9])
    (before,) = submissions.collect(place)
    rows = submissions.collect(moodle_like(tmp_path, [9, 11]))
    (after,) = [row for row in rows if row.counts]
    assert before.key == after.key and before.digest != after.digest


# The roster


def table(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


PLAIN = "name,id,email,section\nKim Minsu (김민수),2026001,kim@school.example,A\n"
PLAIN += '"García Márquez, Ana María",2026002,ana@school.example,A\nLee Jiwoo,2026003,,B\n'
PLAIN += "Lee Jiwoo,2026004,lee4@school.example,B\n박 서연,2026005,,B\n"


@pytest.mark.parametrize(
    ("student", "number"),
    [
        (roster.Student(id="2026001"), "2026001"),
        (roster.Student(email="KIM@school.example"), "2026001"),
        (roster.Student("김민수"), "2026001"),
        (roster.Student("kim minsu"), "2026001"),
        (roster.Student("Minsu Kim"), "2026001"),
        (roster.Student("kimminsu", "12345"), "2026001"),
        (roster.Student("Ana Maria Garcia Marquez"), "2026002"),
        (roster.Student("garcíamárquezanamaría"), "2026002"),
        (roster.Student(unicodedata.normalize("NFD", "박서연")), "2026005"),
        (roster.Student("lee4@school.example"), "2026004"),
        (roster.Student("kim minsu final"), "2026001"),
        (roster.Student("Lee Jiwoo"), ""),
        (roster.Student("Lee Jiwoo", "2026004"), "2026004"),
        (roster.Student("Kim Minsu", "2026005"), ""),  # an id and a name of two people
        (roster.Student("Kim Minsu (2)"), ""),
        (roster.Student("Minsu"), ""),
        (roster.Student(), ""),
    ],
)
def test_matching_by_id_then_email_then_name(tmp_path, student, number):
    listed = roster.read(table(tmp_path / "class.csv", PLAIN))
    found, _ = listed.match(student)
    assert ([s.id for s in found] if len(found) == 1 else [""]) == [number]


def test_each_listed_student_has_one_row_that_counts(tmp_path):
    path = table(tmp_path / "class.csv", PLAIN)
    rows = collect(
        tmp_path / "in",
        {
            f"Minsu Kim_{STEM}.ipynb": GOOD,
            "ana maria garcia marquez.pdf": b"%PDF",
            f"Lee Jiwoo_{STEM}.ipynb": GOOD,
            f"Somebody Else_{STEM}.ipynb": GOOD,
        },
        roster=path,
    )
    got = {row.student.id or row.student.name: row.status for row in rows}
    assert got == {
        "2026001": "", "2026002": "not a notebook", "2026003": "not handed in",
        "2026004": "not handed in", "2026005": "not handed in",
        "Lee Jiwoo": "", "Somebody Else": "",
    }  # fmt: skip
    asked = {row.student.name: " ".join(row.notes) for row in rows if not row.student.listed}
    assert "2026003" in asked["Lee Jiwoo"] and "nobody was guessed" in asked["Lee Jiwoo"]
    assert "has nobody" in asked["Somebody Else"]
    assert all(row.student.section for row in rows if row.student.listed)


def test_two_of_one_name_and_two_ids_are_not_both_the_one_on_the_roster(tmp_path):
    path = table(tmp_path / "class.csv", "name\nKim Minsu\n")
    files = {f"kimminsu_{n}_99887{n}_{STEM}.ipynb": GOOD for n in (1, 2)}
    rows = collect(tmp_path / "in", files, roster=path)
    assert [row.student.listed for row in rows if row.file] == [False, False]
    assert [row.status for row in rows if not row.file] == ["not handed in"]


def test_two_files_of_a_listed_student_are_handed_in_twice(tmp_path):
    path = table(tmp_path / "class.csv", PLAIN)
    rows = collect(
        tmp_path / "in",
        {f"김민수_{STEM}.ipynb": GOOD, f"2026001_{STEM}.ipynb": GOOD + b" "},
        roster=path,
    )
    kim = [row for row in rows if row.student.id == "2026001"]
    assert sorted(row.status for row in kim) == ["", "handed in twice"]


def test_what_runs_counts_before_what_is_newer_and_broken(tmp_path):
    path = table(tmp_path / "class.csv", PLAIN)
    place = put(tmp_path / "in", {f"김민수_{STEM}.ipynb": GOOD, f"2026001_{STEM}.ipynb": b"{"})
    os.utime(place / f"김민수_{STEM}.ipynb", (1, 1))
    rows = submissions.collect(place, roster=path)
    kim = {row.status: row for row in rows if row.student.id == "2026001"}
    assert kim.keys() == {"", "handed in twice"} and kim[""].digest == sha(GOOD)
    assert "that can be graded counts: 김민수" in kim["handed in twice"].sentence


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16"])
@pytest.mark.parametrize("comma", [",", ";", "\t"])
def test_rosters_in_korean(tmp_path, encoding, comma):
    text = (
        "학번,이름,이메일,분반,비고\n20261,김민수,k@school.example,1반,휴학\n20262,이지우,,2반,\n"
    )
    listed = roster.read(table(tmp_path / "c.csv", text.replace(",", comma), encoding))
    one, two = listed.students
    assert (one.name, one.id, one.email, one.section) == (
        "김민수",
        "20261",
        "k@school.example",
        "1반",
    )
    assert one.more[-1] == ("비고", "휴학") and [h for h, _ in two.more] == listed.headings
    assert one.listed and two.email == ""


def test_the_rows_of_a_roster_that_are_nobody_are_kept(tmp_path):
    listed = roster.read(hand_ins.roster(tmp_path / "c.csv", "canvas"))
    assert len(listed.students) == 20
    assert [row[0].strip() for row in listed.above] == ["Points Possible", "Student, Test"]
    with (tmp_path / "c.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert dict(listed.students[0].more) == rows[1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", "no line has headings"),
        ("name,id\n", "lists nobody"),
        ("name,id\nKim,1\nLee,1\n", "both 'Kim' and 'Lee'"),
        ("name,id\nKim,\nKim,\n", "there twice"),
        ("PK\3\4", "Excel"),
    ],
)
def test_a_roster_that_cannot_be_used(tmp_path, text, says):
    with pytest.raises(CourseError, match=says):
        roster.read(table(tmp_path / "c.csv", text))
    with pytest.raises(CourseError, match="Mend the path"):
        roster.read(tmp_path / "nowhere.csv")


def test_moodles_worksheet_tells_when(tmp_path):
    people = one_each()
    path = hand_ins.roster(tmp_path / "c.csv", "moodle")
    rows = submissions.collect(FORMS["moodle"].write(tmp_path, people), roster=path)
    assert all(row.at for row in rows)
    assert {row.at.date() for row in rows} == {datetime(2026, 11, 20).date()}


# Late


@pytest.mark.parametrize(
    ("policy", "hours", "factor"),
    [
        ("", 1000, 1.0),
        ("10% a day, at most 50%", 0, 1.0),
        ("10% a day, at most 50%", 1, 0.9),
        ("10% a day, at most 50%", 24, 0.9),
        ("10% a day, at most 50%", 25, 0.8),
        ("10% a day, at most 50%", 1000, 0.5),
        ("none after 3 days", 72, 1.0),
        ("none after 3 days", 73, 0.0),
        ("10% per day; none after 2 days", 30, 0.8),
        ("5 % an hour, grace 15 minutes", 0.2, 1.0),
        ("5 % an hour, grace 15 minutes", 1.2, 0.9),
        ("30% a day", 24 * 9, 0.0),
        ("2.5% / hour", 1, 0.975),
    ],
)
def test_what_a_late_one_keeps(policy, hours, factor):
    assert late.policy(policy).factor(timedelta(hours=hours)) == factor


@pytest.mark.parametrize(
    "policy",
    [
        "ten a day",
        "10%",
        "at most 50%",
        "110% a day",
        "10% a day, 5% a day",
        "10% a fortnight",
        "grace 5 minutes",
    ],
)
def test_a_policy_that_is_not_clear(tmp_path, policy):
    with pytest.raises(CourseError, match=re.escape(repr(policy))):
        late.policy(policy)


def test_due_dates():
    assert late.due("2026-11-20") == datetime(2026, 11, 20, 23, 59, 59)
    assert late.due("2026-11-20T18:00") == datetime(2026, 11, 20, 18)
    assert late.due("2026-11-20T18:00+09:00").utcoffset() == timedelta(hours=9)
    with pytest.raises(CourseError, match="20 Nov"):
        late.due("20 Nov")


def test_late_in_the_rows(tmp_path):
    place = moodle_like(tmp_path, [9])
    due = datetime(
        2026, 11, 19, 8, tzinfo=UTC
    )  # the export tells no zone: it is that of the due date
    (row,) = submissions.collect(place, due=due, policy="10% a day, at most 50%")
    assert row.factor == 0.8 and "late by 1 day 1 hour: 80 %" in " ".join(row.notes)
    (row,) = submissions.collect(place, due=datetime(2026, 11, 20, 9))
    assert row.factor == 1.0 and not any("late" in note for note in row.notes)
    with pytest.raises(CourseError, match="needs DUE"):
        submissions.collect(place, policy="10% a day")
    (row,) = collect(tmp_path / "flat", {"kim.ipynb": GOOD}, due=due, policy="10% a day")
    assert row.factor == 1.0 and "does not tell when" in " ".join(row.notes)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("Nov 20, 2026 1010 AM", datetime(2026, 11, 20, 10, 10)),
        ("Nov 2, 2026 1215 AM", datetime(2026, 11, 2, 0, 15)),
        ("20 November, 2026 1510", datetime(2026, 11, 20, 15, 10)),
        ("2026-11-20-10-00-05", datetime(2026, 11, 20, 10, 0, 5)),
        ("Friday, 20 November 2026, 10:00 PM", datetime(2026, 11, 20, 22)),
        ("2026년 11월 20일 오후 310", datetime(2026, 11, 20, 15, 10)),
        ("Feb 31, 2026 100 AM", None),
        ("-", None),
    ],
)
def test_moments(text, when):
    assert intake.moment(text) == when


# What must not be collected


@pytest.mark.parametrize(
    "place", ["", ".", "{root}", "{root}/..", "{root}/solutions", "{root}/exercises"]
)
def test_the_course_itself_is_not_graded(place):
    with pytest.raises(CourseError, match="SUBMISSIONS=folder"):
        submissions.collect(Path(place.format(root=notebooks.ROOT)))


def test_a_copy_of_the_course_is_not_graded(tmp_path):
    master = notebooks.masters()[0].relative_to(notebooks.ROOT)
    with pytest.raises(CourseError, match="holds the course itself"):
        collect(tmp_path, {str(master): GOOD})


def test_places_and_exercises_that_are_not_there(tmp_path):
    with pytest.raises(CourseError, match="is not there"):
        submissions.collect(tmp_path / "nowhere")
    with pytest.raises(CourseError, match="no file"):
        submissions.collect(tmp_path)
    with pytest.raises(CourseError, match="no such exercise"):
        submissions.collect(tmp_path, "99_nothing")


# Zips that are out to harm, and files that are no files

PAD = GOOD[:-1] + b" " * 1_900_000 + GOOD[-1:]  # each below all limits
HUGE = GOOD[:-1] + b" " * 19 * 2**20 + GOOD[-1:]


def bombs():
    """Return zips by name. Each is small, and unpacks to more than a hand-in may."""
    many = zipped({f"{n}.ipynb": PAD for n in range(100)})
    deep = zipped({f"{STEM}.ipynb": GOOD})
    for _ in range(6):
        deep = zipped({"x.zip": deep})
    overlap = io.BytesIO()
    with zipfile.ZipFile(overlap, "w") as packed:
        packed.writestr("0.ipynb", GOOD)
        packed.filelist *= 30
    return {
        "ratio": zipped({f"{n}.ipynb": HUGE for n in range(8)}),
        "bytes": many,
        "nested": zipped({f"{n}.zip": many for n in range(30)}),
        "depth": deep,
        "count": zipped({f"{n}.txt": b"" for n in range(51_000)}),
        "notebooks": zipped({f"{n}.ipynb": GOOD for n in range(120)}),
        "overlap": overlap.getvalue(),
    }


def damaged():
    """Return zips that are broken, each in its own way."""
    whole = zipped({"a.ipynb": GOOD})
    at = whole.find(b"PK\1\2")
    made = {}
    for method in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w", method) as packed:
            packed.writestr("a.ipynb", GOOD)
        made[f"method {method}"] = held.getvalue()

    def patched(*changes):
        content = bytearray(whole)
        for offset, new in changes:
            content[offset : offset + len(new)] = new
        return bytes(content)

    return made | {
        "data": patched((60, b"\xff" * 20)),
        "listing": patched((at, b"XXXX")),
        "end": whole[:-10],
        "small": patched((at + 24, struct.pack("<L", 10))),
        "large": patched((at + 24, struct.pack("<L", 2**31))),
        "password": patched((at + 8, b"\1"), (6, b"\1")),
        "method 9": patched((at + 10, b"\x09"), (8, b"\x09")),
        "far": patched((at + 42, struct.pack("<L", 2**30))),
        "name": patched((30, b"b")),
        "no name": patched((at + 28, b"\0\0")),
    }


MEASURE = """
import re, sys, time
from pathlib import Path
from tools.grading import submissions
began = time.monotonic()
rows = submissions.collect(Path(sys.argv[1]))
for row in (row for row in rows if row.counts):
    print("ROW", row.student.name, "|", row.status, "|", row.sentence)
# Not getrusage: what that tells begins with the size of the process that started this one.
peak = int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024
print(peak, time.monotonic() - began)
"""


def measured(place):
    """Return (rows, peak MB, seconds) of collecting in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, place], cwd=notebooks.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    *rows, last = [line for line in done.stdout.splitlines() if line]
    peak, seconds = last.split()
    return [row.split(" | ") for row in rows if row.startswith("ROW")], int(peak), float(seconds)


@pytest.mark.parametrize(
    "name", ["ratio", "bytes", "nested", "depth", "count", "notebooks", "overlap"]
)
def test_a_bomb_is_one_row_and_costs_little(tmp_path, name):
    bomb = bombs()[name]
    put(tmp_path, {"kim.zip": bomb, "ana.zip": zipped({f"{STEM}.ipynb": GOOD})})
    rows, peak, seconds = measured(tmp_path)
    status = {row[0]: row[1].strip() for row in rows}
    assert status.pop("ROW ana") == ""
    assert status.keys() == {"ROW kim"} and status["ROW kim"] in ("too large", "unreadable")
    assert peak < 300 and seconds < 30, f"{peak} MB, {seconds:.0f} s"


def test_why_a_zip_is_refused_is_told(tmp_path):
    put(tmp_path, {f"{name}.zip": bombs()[name] for name in ("overlap", "count", "depth")})
    said = {file.parts[0]: file.sentence for file in unpack.walk(tmp_path)}
    assert "over one another" in said["overlap.zip"] and "zips in zips" in said["depth.zip"]
    assert "too many files" in said["count.zip"]
    few = unpack.Limits(listing=100)  # bytes, before the list is read at all
    put(tmp_path / "few", {"kim.zip": ZIP})
    (file,) = unpack.walk(tmp_path / "few", few)
    assert "too many files" in file.sentence and file.zipped


def test_a_bomb_within_the_zip_of_a_class_is_one_row(tmp_path):
    made = bombs()
    inner = {f"kim {name}.zip": bomb for name, bomb in made.items()}
    put(tmp_path, {"class.zip": zipped(inner | {"ana.zip": zipped({"a.ipynb": GOOD})})})
    rows, peak, seconds = measured(tmp_path)
    status = {row[0].removeprefix("ROW "): row[1].strip() for row in rows}
    assert status.pop("ana") == "" and len(status) == len(made) == len(rows) - 1
    assert all(status.values()) and peak < 300 and seconds < 60


@pytest.mark.parametrize("name", damaged())
def test_a_damaged_zip_is_its_students_row(tmp_path, name):
    rows = collect(tmp_path, {"kim.zip": damaged()[name], "ana.ipynb": GOOD})
    assert [row.student.name for row in rows] == ["ana", "kim"]
    assert rows[0].status == "" and rows[1].status in ("unreadable", "too large")
    assert rows[1].sentence.isprintable() and "Traceback" not in rows[1].sentence


def test_a_name_that_is_in_a_zip_twice(tmp_path):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as packed, pytest.warns(UserWarning):
        packed.writestr(f"kim/{STEM}.ipynb", GOOD)
        packed.writestr(f"kim/{STEM}.ipynb", b"x" * (submissions.LARGEST + 1))
    (row,) = collect(tmp_path, {"class.zip": held.getvalue()})
    assert told([row]) == [("kim", "", "")]


def test_devices_folders_and_links_are_rows_or_nothing(tmp_path):
    put(tmp_path, {"ana.ipynb": GOOD})
    os.mkfifo(tmp_path / "kim.ipynb")
    (tmp_path / "lee.ipynb").mkdir()
    (tmp_path / "park").mkdir()
    (tmp_path / "park" / "x.ipynb").symlink_to("/etc/passwd")
    (tmp_path / "secret.ipynb").symlink_to("/etc/passwd")
    (tmp_path / "secrets").symlink_to("/etc")
    rows = submissions.collect(tmp_path)
    assert {row.student.name: row.status for row in rows} == {
        "ana": "", "kim": "not a notebook", "lee": "not a notebook", "park": "not a notebook",
    }  # fmt: skip


def test_a_file_that_cannot_be_read_is_a_row(tmp_path, monkeypatch):
    put(tmp_path, {"ana.ipynb": GOOD, "kim.ipynb": GOOD})
    opened = Path.open

    def refuse(self, *given, **more):
        if self.name == "kim.ipynb":
            raise PermissionError(13, "Permission denied")
        return opened(self, *given, **more)

    monkeypatch.setattr(Path, "open", refuse)
    rows = submissions.collect(tmp_path)
    assert told(rows) == [("ana", "", ""), ("kim", "", "unreadable")]
    assert "Permission denied" in rows[1].sentence


@pytest.mark.parametrize("failure", [RecursionError, MemoryError, ValueError, KeyError])
def test_whatever_one_file_does_it_is_one_row(tmp_path, monkeypatch, failure):
    put(tmp_path, {"ana.ipynb": GOOD, "kim.ipynb": GOOD + b" "})
    read = contents.read

    def fail(content, name=""):
        if content.endswith(b" "):
            raise failure("of one file")
        return read(content, name)

    monkeypatch.setattr(contents, "read", fail)
    assert told(submissions.collect(tmp_path)) == [("ana", "", ""), ("kim", "", "unreadable")]


def test_a_thousand_hand_ins_take_little_memory(tmp_path):
    notebook = json.loads(GOOD)
    picture = os.urandom(150_000).hex()
    notebook["cells"][-2]["outputs"] = [
        {"output_type": "display_data", "data": {"image/png": picture}, "metadata": {}}
    ]
    with zipfile.ZipFile(
        tmp_path / "class.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1
    ) as packed:
        for n in range(1000):
            notebook["cells"][3]["source"] = f"# Answer 1\nauthor = {n}"
            packed.writestr(f"student{n}/{STEM}.ipynb", json.dumps(notebook))
    rows, peak, seconds = measured(tmp_path / "class.zip")
    assert len(rows) == 1000 and {row[1].strip() for row in rows} == {""}
    assert peak < 500, f"{peak} MB"
    assert seconds < 120


# Whatever the names

TEXTS = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=30)
PIECES = st.sampled_from(
    [
        "kim",
        "김민수",
        STEM,
        OTHER,
        "_",
        " - ",
        "LATE",
        "_12345_67890_",
        "_1_assignsubmission_file_",
        "(2)",
    ]
    + [
        "Copy of ",
        "의 사본",
        "submissions",
        "exercise-02-",
        "hw2",
        "20261234",
        "README",
        "\u202e",
        "\x1b[31m",
    ]
    + ["1-2 - Kim - Nov 20, 2026 1010 AM", "_attempt_2026-11-20-10-00-00_", ", ", ".."]
)
PARTS = st.lists(PIECES | TEXTS, min_size=1, max_size=4).map("".join)
NAMES = PARTS.filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)
KINDS = {
    ".ipynb": [GOOD, GOOD[:3000], b"", b"{", b"%PDF"],
    ".zip": [zipped({f"{STEM}.ipynb": GOOD}), b"PK", zipped({"a/b.ipynb": GOOD, "c.ipynb": b""})],
    ".txt": [b"x"],
    ".yml": [b"a: [b"],
    "": [b"x"],
}
FILES = st.tuples(
    st.lists(NAMES, max_size=2), NAMES, st.sampled_from(list(KINDS)), st.integers(0, 4)
)


@given(st.lists(FILES, min_size=1, max_size=8), st.sampled_from(["", STEM]))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_tree_of_files_has_a_row_for_each_notebook(tmp_path_factory, files, assignment):
    folder = tmp_path_factory.mktemp("tree")
    written = []
    for above, name, ending, number in files:
        kinds = KINDS[ending]
        path = folder.joinpath(*above, name + ending)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(kinds[number % len(kinds)])
        except OSError:  # a file is where a folder should be
            continue
        seen = [*above, name + ending]
        if ending == ".ipynb" and not any(unpack.hidden(names.visible(p, 300)) for p in seen):
            written.append(path)
    try:
        rows = submissions.collect(folder, assignment)
    except CourseError as error:
        assert "no file" in str(error) and not written
        return
    keys = [row.key for row in rows]
    assert len(set(keys)) == len(keys) and all(KEY.fullmatch(key) for key in keys)
    for row in rows:
        assert row.who and row.status != "" or row.notebook is not None
        for text in (row.who, row.file, row.sentence, *row.notes):
            assert text.isprintable()
            text.encode()
        assert (row.status == "") == bool(row.packed) or not row.counts
        assert bool(row.status) == bool(row.sentence)
    mentioned = " ".join(text for row in rows for text in (row.file, *row.notes))
    for path in set(written):
        name = names.visible(path.name, 300) or "_"
        assert name in mentioned or mentioned.count("beside it lay"), path


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["cells", "source", "id", "metadata", "nbgrader", "tags", "cell_type"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


@given(st.lists(st.tuples(st.integers(0, len(ZIP) - 1), st.integers(0, 255)), max_size=6))
@settings(max_examples=150, deadline=None)
def test_any_damage_to_a_zip_is_one_row(tmp_path_factory, damage):
    content = bytearray(ZIP)
    for at, byte in damage:
        content[at] = byte
    folder = put(tmp_path_factory.mktemp("zip"), {"mal.zip": bytes(content), "ana.ipynb": GOOD})
    rows = submissions.collect(folder)
    assert [row.status for row in rows if row.file == "ana.ipynb"] == [""]
    assert len(rows) > 1 and len({row.key for row in rows}) == len(rows)


@given(st.dictionaries(st.sampled_from(["cells", "metadata", "x"]), JSON, min_size=1) | JSON)
@settings(max_examples=150, deadline=None)
def test_any_json_is_a_notebook_or_has_a_sentence(content):
    notebook, status, sentence = submissions.read(json.dumps(content).encode())
    assert (notebook is None) == bool(status) == bool(sentence)
    if notebook is not None:
        json.dumps(notebook, ensure_ascii=False).encode()
        submissions.which(notebook)
        assert contents.unpacked(contents.packed(notebook)) == notebook
