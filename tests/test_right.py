"""Right answers keep their points, whatever their style; answers without numbers earn none."""

import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import v4

from tests.hollow import COUNT, KINDS, hollow
from tests.scoring import checks, question, run_question, with_mutant
from tests.test_exercises import MASTERS, SEEDS, STEMS, seeds_for
from tools import notebooks

# What a notebook has beside the names of Python: enough of it for an answer that shows something.
NOTEBOOK = v4.new_code_cell(
    id="notebook-names",
    source="""
class _Shell:
    def __getattr__(self, name):
        return lambda *arguments, **keywords: []


def get_ipython():
    return _Shell()


def display(*things):
    print(*things)
""",
)


def right_answers(master):
    """Return {answer id: list of right answers}, in the format of mutants.yml; none, no file."""
    file = master.parent / "right.yml"
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}


def answers_of(notebook):
    """Return the ids of the answers that tests grade."""
    return [name.replace("check", "answer") for name in checks(notebook)]


def run(master, cells):
    """Run an answer and its check as a notebook does; return {cell id: error}."""
    for cell in cells:
        cell.source = TransformerManager().transform_cell(cell.source)
    return run_question(master, [NOTEBOOK, *cells])


EVERY_RIGHT = [
    pytest.param(master, answer, right, seed, id=f"{master.stem}-{answer}-{right['name']}-{seed}")
    for master in MASTERS
    for answer, listed in right_answers(master).items()
    for seed in seeds_for(master, answer)
    for right in listed
]
EVERY_QUESTION = [
    pytest.param(master, answer, id=f"{master.stem}-{answer}")
    for master in MASTERS
    for answer in answers_of(notebooks.read(master))
]
# The answers that hold no number: networks, layers and texts. Their checks ask the network.
WITHOUT_NUMBERS = {
    "01_convolution_by_hand": {"answer-6"},
    "02_padding_and_stride": {"answer-6"},
    "03_pooling": {"answer-6"},
    "04_activations_and_initialization": {"answer-6"},
    "05_mnist_convnet": {"answer-6"},
    "06_lenet_and_after": {"answer-7"},
    "07_dropout_and_augmentation": {"answer-7"},
    "08_cats_and_dogs": {"answer-4", "answer-6"},
    "09_rnn_by_hand": {"answer-6"},
    "10_lstm_and_gru": {"answer-6"},
}


@pytest.mark.parametrize("master", MASTERS, ids=STEMS)
def test_three_right_answers_for_every_question(master):
    rights = right_answers(master)
    assert sorted(rights) == sorted(answers_of(notebooks.read(master)))
    for answer, listed in rights.items():
        assert len({right["name"] for right in listed}) == len(listed) >= 3, answer
        for right in listed:
            source = with_mutant(master, answer, right).cells
            source = next(cell.source for cell in source if cell.id == answer)
            assert source.startswith(f"# Answer {answer.split('-')[1]}\n"), (answer, right["name"])


@pytest.mark.parametrize(("master", "answer", "right", "seed"), EVERY_RIGHT)
def test_right_answer_keeps_its_points(master, answer, right, seed, monkeypatch):
    monkeypatch.setenv("COURSE_SEED", seed)
    assert run(master, question(with_mutant(master, answer, right), answer)) == {}


def test_a_wrong_answer_would_be_noticed_among_the_right_ones():
    """The proof that the test can fail."""
    wrong = {"name": "wrong", "code": "# Answer 1\nsums = [11, -3, 13, 7, -7]"}
    cells = question(with_mutant(MASTERS[0], "answer-1", wrong), "answer-1")
    assert set(run(MASTERS[0], cells)) == {"check-1"}


def hollow_errors(master, answer, kind):
    """Run a question with its worked answer emptied; return the ids of the cells that fail.

    The cell "numbers" fails if there was no number in the answer.
    """
    cells = question(notebooks.read(master), answer)
    cells[0].source = hollow(cells[0].source, kind)
    found = v4.new_code_cell(f"assert {COUNT}, 'no number'", id="numbers")
    return set(run(master, [*cells, found]))


@pytest.mark.parametrize(("master", "answer"), EVERY_QUESTION)
def test_a_copied_number_is_as_good_as_the_number(master, answer, monkeypatch):
    """The control: what empties an answer costs nothing by itself, and finds its numbers."""
    monkeypatch.setenv("COURSE_SEED", SEEDS[0])
    none = answer in WITHOUT_NUMBERS.get(master.stem, set())
    assert hollow_errors(master, answer, "same") == ({"numbers"} if none else set())


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"same", "object"}))
@pytest.mark.parametrize(("master", "answer"), EVERY_QUESTION)
def test_an_answer_without_numbers_earns_nothing(master, answer, kind, monkeypatch):
    """The right shape, and nothing in it. The objects of tests/hollow.py are the grader's part."""
    monkeypatch.setenv("COURSE_SEED", SEEDS[0])
    if answer in WITHOUT_NUMBERS.get(master.stem, set()):
        return
    assert hollow_errors(master, answer, kind) == {answer.replace("answer", "check")}


def test_the_object_is_an_attack(monkeypatch):
    """In the student's own process the object gains a point: that is why a grader must stop it."""
    monkeypatch.setenv("COURSE_SEED", SEEDS[0])
    assert hollow_errors(MASTERS[0], "answer-3", "object") == set()
