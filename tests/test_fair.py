"""What is right in a notebook keeps its points behind the wall, and what is empty earns none."""

import pytest
from nbformat import v4

from tests.grading import (
    FULL,
    STEM,
    folder_of,
    handed_in,
    master,
    patient_zygote,
    points,
    run,
    run_cells,
    zygote,
)
from tests.hollow import hollow
from tests.scoring import with_mutant
from tests.test_right import WITHOUT_NUMBERS, right_answers
from tools import exercises, notebooks
from tools.grading import score, submissions

__all__ = ["patient_zygote", "zygote"]  # fixtures


def after(name, *sources):
    """Return a change that puts cells of the student's own behind a cell."""

    def change(notebook, cells):
        place = notebook.cells.index(cells[name]) + 1
        notebook.cells[place:place] = [v4.new_code_cell(source) for source in sources]

    return change


# What runs in a notebook earns the same here

IPYTHON = {
    "display": "display('start')",
    "get_ipython": "get_ipython().run_line_magic('matplotlib', 'inline')",
    "a shell command": "files = !ls",
    "help": "len?",
    "a magic line": "%matplotlib inline",
    "a magic cell": "%%time",
    "await": "import asyncio\nawait asyncio.sleep(0)",
    "a percent sign in a text": "text = '''\n%s of\n!x'''",
    "a last expression": "None\n3 + 4",
}


def worked(answer, stem=STEM):
    return next(c.source for c in notebooks.read(master(stem)).cells if c.id == answer)


@pytest.mark.parametrize("line", IPYTHON.values(), ids=IPYTHON)
def test_cells_are_run_as_ipython_runs_them(line, zygote):
    head, _, body = worked("answer-3").partition("\n")
    source = f"{line}\n{head}\n{body}" if line.startswith("%%") else f"{head}\n{line}\n{body}"
    assert points(run(zygote, {"answer-3": source})) == FULL


def test_a_cell_that_is_indented_throughout_is_run(zygote):
    indented = "\n".join("    " + line for line in worked("answer-3").split("\n"))
    assert points(run(zygote, {"answer-3": indented})) == FULL


SHAPE = """# Answer 5
import tensorflow as tf
def layer_facts(image_shape, kernel_size, filters):
    height, width, channels = image_shape
    kh, kw = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    shape = tf.zeros((height - kh + 1, width - kw + 1, filters)).shape
    return shape, (kh * kw * channels + 1) * filters
"""


def test_a_shape_of_tensorflows_is_a_tuple(zygote):
    assert points(run(zygote, {"answer-5": SHAPE})) == FULL


HELPER = """
def windows(x, k):
    return [x[i:i + k] for i in range(len(x) - k + 1)]
"""
HELPER_2D = """
def windows(image, kh, kw):
    height, width = image.shape[0] - kh + 1, image.shape[1] - kw + 1
    return np.array([[image[i:i + kh, j:j + kw] for j in range(width)] for i in range(height)])
"""
CONV1D = """
def conv1d(signal, kernel, bias=0.0):
    signal, kernel = np.asarray(signal), np.asarray(kernel)
    if signal.ndim != 1 or kernel.ndim != 1 or len(kernel) > len(signal):
        raise ValueError(f"{signal.shape} {kernel.shape}")
    return np.array([np.sum(w * kernel) + bias for w in windows(signal, len(kernel))])
"""
CONV2D = """
def conv2d(image, kernel):
    image, kernel = np.asarray(image), np.asarray(kernel)
    if image.ndim != 2 or kernel.ndim != 2 or min(np.subtract(image.shape, kernel.shape)) < 0:
        raise ValueError(f"{image.shape} {kernel.shape}")
    return np.sum(windows(image, *kernel.shape) * kernel, axis=(2, 3))
"""


def test_a_helper_that_two_questions_define_in_two_ways(zygote):
    answers = {"answer-3": HELPER + CONV1D, "answer-4": HELPER_2D + CONV2D}
    assert points(run(zygote, answers)) == FULL


@pytest.mark.parametrize(
    "change",
    [
        after("check-6", "sums = 0\nfor a in range(3):\n    sums += a", "conv1d = None"),
        after("check-1", "print(found)"),  # no such name yet: only this cell fails
        after("check-3", "print(found.tolist(), arguments)"),  # names that the check has left
        after("check-3", "from google.colab import drive\ndrive.mount('/content/drive')"),
        after("imports", "!pip install something"),
    ],
    ids=["names used again at the end", "a missing name", "a check's names", "drive", "pip"],
)  # fmt: skip
def test_cells_of_the_students_own_cost_nothing(change, zygote):
    result = run_cells(zygote, change)
    assert points(result) == FULL, (result.questions, result.printed)


def test_a_cell_sees_the_names_that_a_check_has_left(zygote):
    result = run_cells(zygote, after("check-3", "print('seen', arguments)"))
    (own,) = [told for name, told in result.printed.items() if name.startswith("own-")]
    assert own["printed"].startswith("seen") and not own["error"]


def add_an_import(notebook, cells):
    cells["imports"].source += "\nfrom numpy.lib.stride_tricks import sliding_window_view"
    cells["answer-3"].source = """# Answer 3
def conv1d(signal, kernel, bias=0.0):
    signal, kernel = np.asarray(signal), np.asarray(kernel)
    if signal.ndim != 1 or kernel.ndim != 1 or len(kernel) > len(signal):
        raise ValueError(f"{signal.shape} {kernel.shape}")
    return sliding_window_view(signal, len(kernel)) @ kernel + bias
"""


def test_an_import_added_to_a_cell_of_ours_is_run_and_said(zygote):
    result = run_cells(zygote, add_an_import)
    assert points(result) == FULL
    assert "imports was changed: the original was run, and then yours" in result.notes


def copy_an_answer(notebook, cells):
    """Two cells of one answer, as after a copy: in a notebook the second one has the last word."""
    again = v4.new_code_cell(cells["answer-3"].source, metadata=cells["answer-3"].metadata)
    cells["answer-3"].source = "# Answer 3\nconv1d = None"
    notebook.cells.insert(notebook.cells.index(cells["answer-3"]) + 1, again)


def test_a_copied_answer_is_run_in_its_place(zygote):
    result = run_cells(zygote, copy_an_answer)
    assert points(result) == FULL
    assert "there are two cells answer-3; both were run" in result.notes


def turn_into_text(notebook, cells):
    cells["answer-3"].cell_type = "markdown"


def test_an_answer_that_became_text_is_said(zygote):
    result = run_cells(zygote, turn_into_text)
    assert points(result) == FULL | {"check-3": 0}
    assert "answer-3 is no code cell any more, so it was not read" in result.notes


def styles(stem):
    """Return answers for whole submissions: the n-th one has the n-th right answer everywhere."""
    path = master(stem)
    rights = right_answers(path)
    for number in range(max(map(len, rights.values()), default=0)):
        yield {
            answer: next(
                c.source
                for c in with_mutant(path, answer, listed[number % len(listed)]).cells
                if c.id == answer
            )
            for answer, listed in rights.items()
        }


@pytest.mark.parametrize("path", notebooks.masters(), ids=lambda path: path.stem)
def test_right_answers_in_other_styles_keep_their_points(path, patient_zygote):
    for answers in styles(path.stem):
        result = run(patient_zygote, answers, stem=path.stem)
        lost = [(q.name, q.message, answers.get(q.name.replace("check", "answer")))
                for q in result.questions if q.points not in (None, q.maximum)]  # fmt: skip
        assert lost == []


@pytest.mark.parametrize("kind", ["object", "bare", "zeros", "nan"])
@pytest.mark.parametrize("path", notebooks.masters(), ids=lambda path: path.stem)
def test_answers_without_numbers_earn_nothing_behind_the_wall(path, kind, patient_zygote):
    answers = {
        cell.id: hollow(cell.source, kind)
        for cell in notebooks.read(path).cells
        if cell.id.startswith("answer-") and cell.cell_type == "code"
    }
    found = points(run(patient_zygote, answers, stem=path.stem))
    with_numbers = set(answers) - WITHOUT_NUMBERS.get(path.stem, set())
    assert [a for a in with_numbers if found[a.replace("answer", "check")]] == []


def without(cell_id, notebook):
    notebook.cells = [cell for cell in notebook.cells if cell.id != cell_id]
    return notebook


# Cells that were deleted, doubled, edited, or stripped


def tampered(change):
    """Return a submission with a wrong answer 3 and a change that would hide it."""
    notebook = handed_in({"answer-3": "def conv1d(signal, kernel, bias=0.0):\n    return 0"})
    cells = {cell.id: cell for cell in notebook.cells}
    change(notebook, cells)
    return notebook


def edit_check(notebook, cells):
    cells["check-3"].source = "pass"


def edit_points(notebook, cells):
    cells["check-1"].metadata["nbgrader"]["points"] = 100


def delete_check(notebook, cells):
    notebook.cells.remove(cells["check-3"])


def double_check(notebook, cells):
    notebook.cells.insert(0, v4.new_code_cell("pass", id="check-3b", metadata={}))
    notebook.cells[0].metadata = cells["check-3"].metadata


def answer_in_the_check(notebook, cells):
    cells[
        "check-3"
    ].source = "conv1d = lambda s, k, bias=0: np.convolve(s, k[::-1], 'valid') + bias"


def ungraded(notebook, cells):
    cells["check-3"].metadata["nbgrader"] |= {"grade": False, "solution": True}


def other_kernel(notebook, cells):
    notebook.metadata["kernelspec"] = {"name": "bash", "display_name": "x", "language": "bash"}


def odd_metadata(notebook, cells):
    cells["check-3"].metadata["nbgrader"] = "none"
    cells["answer-1"].metadata["tags"] = 7
    cells["answer-2"].id = "x" * 200


@pytest.mark.parametrize(
    "change",
    [
        edit_check,
        edit_points,
        delete_check,
        double_check,
        answer_in_the_check,
        ungraded,
        other_kernel,
        odd_metadata,
    ],
)
def test_edited_cells_change_no_mark(zygote, tmp_path, change):
    folder = folder_of(tmp_path, {"kim.ipynb": tampered(change)})
    (found,) = submissions.collect(folder, STEM)
    result = score.grade(master(), found.notebook, zygote)
    assert points(result) == FULL | {"check-3": 0}, (found.status, result.notes)


def test_ids_and_metadata_that_were_dropped_come_back(zygote, tmp_path):
    notebook = handed_in({})
    for number, cell in enumerate(notebook.cells):
        cell.metadata, cell.id = {}, f"colab-{number}"
    folder = folder_of(tmp_path, {"kim.ipynb": notebook})
    (found,) = submissions.collect(folder)
    assert points(score.grade(master(), found.notebook, zygote)) == FULL


def test_a_missing_answer_is_told(zygote):
    notebook = without("answer-4", handed_in({}))
    result = score.grade(master(), notebook, zygote)
    assert points(result) == FULL | {"check-4": 0}
    assert "the cell answer-4 is missing" in result.notes
    assert result.status == "missing cells" and "answer-4" in result.sentence


def test_one_stopped_question_costs_only_itself(zygote):
    """Two of them, each in its own way; the cells after them run again without them."""
    loop = "def conv2d(image, kernel):\n    while True: pass"
    leave = "import os\ndef conv1d(signal, kernel, bias=0.0):\n    os._exit(3)"
    result = run(zygote, {"answer-3": leave, "answer-4": loop})
    assert points(result) == FULL | {"check-3": 0, "check-4": 0}


@pytest.mark.parametrize("path", notebooks.masters(), ids=lambda path: path.stem)
def test_solutions_score_full_and_untouched_ones_nothing(path, patient_zygote):
    full = score.Grader(path, handed_in({}, stem=path.stem), patient_zygote).run()
    assert all(q.points in (None, q.maximum) for q in full.questions), full.questions
    nothing = score.Grader(path, exercises.release(path), patient_zygote).run()
    assert all(q.points in (None, 0) for q in nothing.questions), nothing.questions
    assert nothing.status == "untouched" and full.status == "graded"
