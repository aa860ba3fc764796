"""Exercises are generated, solutions score full marks, and wrong answers lose theirs."""

import pytest

from tests.scoring import (
    checks,
    mutants,
    question,
    run_cells,
    run_question,
    score,
    with_mutant,
    with_stubs,
    written,
)
from tools import exercises, notebooks
from tools.errors import CourseError

MASTERS = notebooks.masters()
STEMS = [path.stem for path in MASTERS]
SEEDS = ["2026", "7", "99"]


def seeds_for(master, answer):
    """Return the seeds for the mutants of a question: only one if it trains (slow)."""
    cells = question(notebooks.read(master), answer)
    return SEEDS[:1] if any(".fit(" in cell.source for cell in cells) else SEEDS


EVERY_MUTANT = [
    pytest.param(master, answer, mutant, seed, id=f"{master.stem}-{answer}-{mutant['name']}-{seed}")
    for master in MASTERS
    for answer, wrong in mutants(master).items()
    for seed in seeds_for(master, answer)
    for mutant in wrong
]


def test_each_lesson_has_an_exercise_and_each_exercise_a_lesson():
    assert [path.stem for path in notebooks.lessons()] == STEMS


@pytest.mark.parametrize("master", MASTERS, ids=STEMS)
class TestMaster:
    def test_release_is_generated_byte_for_byte(self, master):
        released = exercises.release_path(master).read_text(encoding="utf-8")
        assert released == notebooks.canonical(exercises.release(master))

    def test_nothing_else_is_released(self, master):
        assert list(exercises.release_path(master).parent.iterdir()) == [
            exercises.release_path(master)
        ]

    def test_release_holds_no_answer_and_no_hidden_test(self, master):
        text = exercises.release_path(master).read_text(encoding="utf-8")
        for word in ("SOLUTION", "HIDDEN", "Rubric", "COURSE_SEED"):
            assert word not in text

    def test_ten_points_and_six_questions(self, master):
        notebook = notebooks.read(master)
        points = checks(notebook) | written(notebook)
        assert sum(points.values()) == 10
        assert len(points) >= 6
        assert written(notebook)

    def test_every_cell_carries_its_marker_and_its_fixed_id(self, master):
        """Colab and Drive may drop metadata: the marker line and the id lead back to it."""
        for cell in notebooks.read(master).cells:
            grading = cell.metadata.get("nbgrader")
            if not grading:
                continue
            assert cell.id == grading.grade_id
            kind, number = cell.id.split("-")
            first = cell.source.splitlines()[0].strip("*# ")
            marker = f"{kind.capitalize()} {number}"
            if kind == "check":
                plural = "s" if grading.points != 1 else ""
                marker += f" ({grading.points} point{plural})"
                assert grading.locked and "raises-exception" in notebooks.tags(cell)
            assert first == marker

    def test_written_answers_have_a_model_answer_and_a_rubric(self, master):
        notebook = notebooks.read(master)
        for cell in notebook.cells:
            if cell.id in written(notebook):
                assert "### BEGIN SOLUTION" in cell.source and "**Rubric.**" in cell.source

    @pytest.mark.parametrize("seed", SEEDS)
    def test_solution_scores_full_marks(self, master, seed, monkeypatch):
        monkeypatch.setenv("COURSE_SEED", seed)
        assert run_cells(notebooks.read(master)) == {}

    def test_untouched_release_runs_and_earns_nothing(self, master):
        released = notebooks.read(exercises.release_path(master))
        errors = run_cells(released)
        assert set(errors) == set(checks(released))
        for cell, error in errors.items():
            number = cell.split("-")[1]
            assert isinstance(error, AssertionError)
            assert str(error).startswith(f"Question {number} is still to do")

    def test_untouched_master_would_fail_hidden_tests_too(self, master):
        """Stubs in the master, hidden tests in place: nothing is earned at grading either."""
        notebook = with_stubs(master, notebooks.read(master))
        assert set(score(notebook).values()) == {0}

    def test_each_question_stands_alone(self, master):
        """A student may skip any question; and a mutant is run without the other questions."""
        notebook = notebooks.read(master)
        for check in checks(notebook):
            answer = check.replace("check", "answer")
            assert run_question(master, question(notebook, answer)) == {}

    def test_three_mutants_for_every_question(self, master):
        notebook, wrong = notebooks.read(master), mutants(master)
        assert set(wrong) == {name.replace("check", "answer") for name in checks(notebook)}
        for answer, listed in wrong.items():
            assert len({mutant["name"] for mutant in listed}) >= 3, answer


@pytest.mark.parametrize(("master", "answer", "mutant", "seed"), EVERY_MUTANT)
def test_mutant_loses_its_points(master, answer, mutant, seed, monkeypatch):
    monkeypatch.setenv("COURSE_SEED", seed)
    assert loses_points(master, with_mutant(master, answer, mutant), answer)


def loses_points(master, notebook, answer):
    """Return whether the question of ``answer`` earns nothing and its answer cell ran."""
    errors = run_question(master, question(notebook, answer))
    assert answer not in errors, errors
    return answer.replace("answer", "check") in errors


def test_a_right_answer_would_be_noticed_among_the_mutants():
    """The proof that the mutant test can fail: the master's own answer keeps its points."""
    master = MASTERS[0]
    same = {"name": "the right answer", "swap": {"# Answer 1": "# Answer 1"}}
    assert not loses_points(master, with_mutant(master, "answer-1", same), "answer-1")


def test_a_check_without_hidden_tests_is_caught_by_mutants():
    """The proof for the checks: with its asserts gone, a check lets a mutant through."""
    master = MASTERS[0]
    wrong = with_mutant(master, "answer-1", mutants(master)["answer-1"][0])
    next(c for c in wrong.cells if c.id == "check-1").source = "pass"
    assert not loses_points(master, wrong, "answer-1")


def test_a_master_that_nbgrader_refuses_is_named(tmp_path):
    notebook = notebooks.read(MASTERS[0])
    answer = next(c for c in notebook.cells if c.id == "answer-1")
    answer.source = answer.source.replace("### END SOLUTION", "")
    broken = tmp_path / "broken.ipynb"
    notebooks.write(notebook, broken)
    with pytest.raises(CourseError, match="broken.ipynb.*ClearSolutions"):
        exercises.release(broken)
