"""A class of thirty, made from the masters and their wrong answers, and graded end to end.

    python -m tools.grading.demo [--out graded-demo]
    python -m tools.grading.demo --mutants       every wrong answer of all exercises, each alone

Prints each student whose marks are not as they should be, and ends with an error if there is one.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import random
import time
from pathlib import Path
from typing import Any

import yaml

from tools import exercises, notebooks
from tools.errors import CourseError, run_tool
from tools.grading import grade, gradebook, report, score, submissions, wall

NAMES = [
    "Ana", "Ben", "Chloe", "Dana", "Emil", "Fatima", "Goran", "Hana", "Ines", "Jonas",
    "Kaya", "Leo", "Minji", "Nora", "Oskar", "Paula", "Quang", "Rosa", "Sami", "Tuva",
    "Uma", "Viktor", "Wei", "Ximena", "Yusuf", "Zoe", "Aiko", "Bram", "Celia", "Dewi",
]  # fmt: skip


@functools.cache
def threats() -> dict[str, Any]:
    """Return the attacks of threats.yml by name."""
    text = (Path(__file__).parent / "threats.yml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def handed_in(path: Path, answers: dict[str, str]) -> notebooks.Notebook:
    """Return a right submission of the exercise at ``path`` with other text in some answers."""
    notebook = exercises.release(path)
    right = {cell.id: cell.source for cell in notebooks.read(path).cells}
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = answers.get(cell.id, right[cell.id])
    return notebook


def wrong_answers(path: Path) -> dict[str, list[str]]:
    """Return for each answer cell of a master the wrong answers of its mutants.yml."""
    right = {cell.id: cell.source for cell in notebooks.read(path).cells}
    found: dict[str, list[str]] = {}
    for answer, mutants in yaml.safe_load((path.parent / "mutants.yml").read_text("utf-8")).items():
        for mutant in mutants:
            source = right[answer]
            for old, new in mutant.get("swap", {}).items():
                source = source.replace(old, new)
            first = right[answer].split("\n")[0]
            code = f"{first}\n{mutant['code']}" if "code" in mutant else source
            found.setdefault(answer, []).append(code)
    return found


def maxima(path: Path) -> dict[str, float]:
    """Return the points of each question of a master that tests grade."""
    cells = notebooks.code_cells(notebooks.read(path))
    facts = {cell.id: cell.metadata.get("nbgrader", {}) for cell in cells}
    return {name: float(fact["points"]) for name, fact in facts.items() if fact.get("grade")}


def make_class(folder: Path, seed: int = 0) -> dict[str, float | None]:
    """Write thirty submissions into ``folder``; return the points that each should get."""
    rng, expected = random.Random(seed), {}
    paths = notebooks.masters()
    attacks = rng.sample(sorted(threats()), 6)
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(NAMES):
        path = paths[number % len(paths)]
        if number < 8:  # right
            content, left = json.dumps(handed_in(path, {})), set()
        elif number < 16:  # partly right
            wrong = wrong_answers(path)
            lost = set(rng.sample(sorted(wrong), 2))
            content = json.dumps(handed_in(path, {a: rng.choice(wrong[a]) for a in lost}))
            left = {answer.replace("answer", "check") for answer in lost}
        elif number < 20:  # nothing done
            content, left = json.dumps(exercises.release(path)), set(maxima(path))
        elif number < 24:  # broken
            content = ["", "{", "%PDF", json.dumps(handed_in(path, {}))[:9000]][number - 20]
            left = None
        else:  # hostile
            threat = threats()[attacks[number - 24]]
            path = grade.master_of(threat.get("exercise", paths[0].stem))
            content = json.dumps(handed_in(path, threat["answers"]))
            left = {check for check, points in threat["points"].items() if points == 0}
        (folder / f"{name}_{path.stem}.ipynb").write_text(content, encoding="utf-8")
        points = maxima(path)
        whole = None if left is None else sum(p for check, p in points.items() if check not in left)
        expected[name] = whole
    return expected


def one_by_one(path: Path) -> list[submissions.Submission]:
    """Return a submission for each wrong answer of an exercise, with the other cells untouched."""
    stubs = {c.id: c.source for c in exercises.release(path).cells}
    found = []
    for answer, sources in wrong_answers(path).items():
        for number, source in enumerate(sources, start=1):
            notebook = handed_in(path, stubs | {answer: source})
            digest = hashlib.sha256(source.encode()).hexdigest()
            name = f"{answer} {number}"
            student = submissions.Student(name=name)
            key = f"{path.stem}-{answer}-{number}"
            made = submissions.Submission(student, name, digest, path.stem, key=key)
            made.notebook = notebook
            found.append(made)
    return found


def earned(result: score.Result) -> float | None:
    """Return the points that the tests gave; None if nothing was run."""
    tested = [q.points for q in result.questions if q.points is not None]
    return sum(tested) if result.questions else None


def grade_mutants(out: Path, jobs: int) -> None:
    """Grade every wrong answer of all exercises; raise CourseError if one scores anything."""
    found = [submission for path in notebooks.masters() for submission in one_by_one(path)]
    started = time.monotonic()
    done = grade.grade_all(found, out / "results", wall.Limits(call=60), jobs)
    scored = [key for key, result in done.items() if earned(result) != 0]
    print(f"{len(found)} wrong answers in {time.monotonic() - started:.0f} s")
    if scored:
        raise CourseError(f"wrong answers with points, or not graded: {'; '.join(scored)}")
    print("none of them has a point")


def main() -> None:
    """Make the class, grade it, and compare the marks."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("graded-demo"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--mutants", action="store_true", help="all wrong answers, each alone")
    given = parser.parse_args()
    wall.refuse_without_a_wall()
    if given.mutants:
        grade_mutants(given.out, given.jobs)
        return
    expected = make_class(given.out / "handed in")
    found = submissions.collect(given.out / "handed in")
    started = time.monotonic()
    limits = wall.Limits(call=20)
    done = grade.grade_all(found, given.out / "results", limits, given.jobs)
    seconds = time.monotonic() - started
    rows = [(submission, done[submission.key]) for submission in found]
    wrong = [
        f"{submission.who}: {earned(result)} points, {expected[name]} expected"
        for submission, result in rows
        for name in [submission.file.split("_")[0]]
        if earned(result) != expected[name]
    ]
    gradebook.write(rows, given.out)
    report.write_all(rows, given.out)
    print(f"{len(rows)} submissions in {seconds:.0f} s. See {given.out / 'summary.html'}")
    if wrong:
        raise CourseError("marks that are not as they should be: " + "; ".join(wrong))
    print("every mark is as it should be")


if __name__ == "__main__":
    run_tool(main)
