"""Every rule holds for every notebook, and every rule can fail."""

import copy

import pytest
from nbformat import v4

from tests import rules
from tools import notebooks
from tools.ledger import read_claims

EXECUTED = notebooks.lessons() + notebooks.masters()
ALL = EXECUTED + notebooks.releases()


def name(value):
    return getattr(value, "stem", None) or getattr(value, "__name__", None)


def cases(paths, functions):
    return [(path, function) for path in paths for function in functions]


@pytest.mark.parametrize(
    ("path", "rule"),
    cases(ALL, rules.EVERY_NOTEBOOK)
    + cases(EXECUTED, rules.EXECUTED)
    + cases(notebooks.lessons(), rules.LESSON),
    ids=name,
)
def test_rule(path, rule):
    assert rule(notebooks.read(path)) == []


@pytest.mark.parametrize("path", ALL, ids=name)
def test_canonical_bytes(path):
    assert path.read_text(encoding="utf-8") == notebooks.canonical(notebooks.read(path))


def test_shared_cells_are_the_same_text_everywhere():
    assert shared_differences([notebooks.read(path) for path in ALL]) == []


def shared_differences(books):
    """Return the ids of `shared-` cells whose source or tags differ between notebooks."""
    found = {}
    for book in books:
        for cell in book.cells:
            if cell.id.startswith("shared-"):
                found.setdefault(cell.id, set()).add((cell.source, *notebooks.tags(cell)))
            elif cell.source.startswith("def load_mnist"):
                found.setdefault("shared-load-mnist under another id", set()).add(cell.id)
    return [cell for cell, texts in found.items() if len(texts) > 1 or " under " in cell]


def test_claims_on_cells_are_known():
    known = read_claims()
    for path in notebooks.lessons():
        for cell in notebooks.read(path).cells:
            for claim in cell.metadata.get("claims", []):
                lessons = [known[claim]["lesson"], *known[claim].get("also", [])]
                assert path.stem in lessons, f"{path.stem}: {cell.id}: {claim}"


# A small notebook that keeps all rules, and for each rule a way to break it.

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
OPENING = """# A title

One sentence.

**You will be able to**

- do one thing;
- do another.

**Prerequisites:** none.

**Time:** 10 minutes to read. It needs no T4."""
QUESTION = """**{}. How much is 2 + 2?**

<details><summary>3</summary>No. That is one less than the sum.</details>
<details><summary>4</summary>Right. Two and two more are four.</details>
<details><summary>22</summary>No. That writes the digits side by side.</details>"""
CLOSING = """## Where you stand

**You can now**

- do one thing;
- do another.

**Practise:** [exercise](../exercises/00_small/00_small.ipynb)."""


def small_notebook():
    """Return a good notebook: eleven code cells, one of them ignored, one with a figure."""
    cells = [v4.new_markdown_cell(OPENING, id="title")]
    cells.append(v4.new_code_cell("import numpy as np", id="imports"))
    cells += [v4.new_code_cell(f"print({i})", id=f"print-{i}") for i in range(8)]
    cells.append(v4.new_code_cell("x = 1\nassert x < 2", id="ignored"))
    cells[-1].metadata["tags"] = [notebooks.IGNORED]
    cells.append(v4.new_code_cell("plt.show()", id="figure"))
    cells[-1].outputs = [v4.new_output("display_data", {"image/png": PIXEL})]
    alt = "A grid of numbers with one window outlined."
    cells[-1].metadata["mystnb"] = {"image": {"alt": alt}}
    cells.append(v4.new_markdown_cell("## Check yourself", id="quiz"))
    for number in (1, 2, 3):
        cells.append(v4.new_markdown_cell(QUESTION.format(number), id=f"quiz-{number}"))
    cells.append(v4.new_markdown_cell(CLOSING, id="end"))
    notebook = v4.new_notebook(cells=cells)
    for count, cell in enumerate(notebooks.code_cells(notebook), start=1):
        cell.execution_count = count
    notebook.metadata["course"] = {"code_sha256": notebooks.code_hash(notebook)}
    return notebook


def cell(notebook, name):
    return next(c for c in notebook.cells if c.id == name)


def change(name, **attributes):
    """Return a function that sets attributes of the cell called ``name``."""

    def breaker(notebook):
        for key, value in attributes.items():
            cell(notebook, name)[key] = value

    return breaker


BREAKERS = [
    (rules.executed_in_order, change("print-3", execution_count=None)),
    (rules.executed_in_order, change("print-3", execution_count=9)),
    (rules.outputs_belong_to_code, change("print-3", source="print(4)")),
    (rules.outputs_belong_to_code, lambda nb: nb.metadata.pop("course")),
    (rules.most_cells_are_compared, change("print-3", metadata={"tags": [notebooks.IGNORED]})),
    (rules.ignored_cells_assert, change("ignored", source="x = 'assert x < 2'")),
    (rules.no_errors_stored, change("print-3", outputs=[v4.new_output("error", ename="E")])),
    (
        rules.no_errors_stored,
        change("print-3", outputs=[v4.new_output("stream", name="stderr", text="careful")]),
    ),
    (rules.known_tags, change("print-3", metadata={"tags": ["nbval-skip"]})),
    (rules.known_tags, change("print-3", source="# NBVAL_SKIP\nprint(3)")),
    (rules.allowed_imports, change("imports", source="import pandas as pd")),
    (rules.allowed_imports, change("imports", source="def f():\n    from sklearn import svm")),
    (rules.figures_have_alt_text, change("figure", metadata={})),
    (
        rules.figures_are_light,
        change("figure", outputs=[v4.new_output("display_data", {"image/png": "A" * 90_000})]),
    ),
    (rules.canonical_form, change("print-3", id="print-4")),
    (rules.canonical_form, change("print-3", id="8d3f_A")),
    (rules.opens_and_closes, change("title", source=OPENING.replace("# A title", "A title"))),
    (rules.opens_and_closes, change("title", source=OPENING.replace("another", "a third"))),
    (rules.opens_and_closes, change("title", source=OPENING.replace("Prerequisites", "Needs"))),
    (rules.opens_and_closes, change("title", source=OPENING.replace("10 minutes", "A while"))),
    (rules.opens_and_closes, change("end", source=CLOSING.replace("exercises", "exercise"))),
    (rules.opens_and_closes, change("end", source="# Another title\n\n" + CLOSING)),
    (rules.asks_questions, lambda nb: nb.cells.remove(cell(nb, "quiz-3"))),
    (rules.asks_questions, change("quiz-2", source=QUESTION.format(3))),
    (rules.asks_questions, change("quiz-2", source=QUESTION.format(2).replace("Right", "No"))),
    (rules.asks_questions, change("quiz-2", source=QUESTION.format(2).replace("No", "Right"))),
    (rules.asks_questions, change("quiz-2", source=QUESTION.format(2).replace("22", "3"))),
    (rules.asks_questions, change("quiz-2", source=QUESTION.format(2).split("Right")[0])),
    (rules.asks_questions, lambda nb: nb.cells.append(nb.cells.pop(2))),
    (rules.short_cells, lambda nb: [c.update(source="x = 1\n" * 9) for c in nb.cells[1:-1]]),
    (
        rules.short_cells,
        lambda nb: nb.cells.insert(1, v4.new_markdown_cell("word " * 161, id="long")),
    ),
    (
        rules.plain_markdown,
        lambda nb: nb.cells.insert(1, v4.new_markdown_cell("```{note}\nHi\n```", id="myst")),
    ),
]


def test_small_notebook_keeps_every_rule():
    for rule in rules.EVERY_NOTEBOOK + rules.EXECUTED + rules.LESSON:
        assert rule(small_notebook()) == [], rule.__name__


@pytest.mark.parametrize(("rule", "breaker"), BREAKERS, ids=name)
def test_rule_can_fail(rule, breaker):
    broken = copy.deepcopy(small_notebook())
    breaker(broken)
    assert rule(broken) != []


def test_every_rule_has_a_proof_that_it_can_fail():
    proved = {rule for rule, _ in BREAKERS}
    assert proved == {*rules.EVERY_NOTEBOOK, *rules.EXECUTED, *rules.LESSON}


def test_a_changed_shared_cell_is_found():
    one, other = small_notebook(), small_notebook()
    for book in (one, other):
        cell(book, "print-3").id = "shared-print"
    assert shared_differences([one, other]) == []
    cell(other, "shared-print").source += "  # changed"
    assert shared_differences([one, other]) == ["shared-print"]


def test_canonical_form_drops_what_changes_from_run_to_run():
    plain, noisy = small_notebook(), small_notebook()
    noisy.metadata["widgets"] = {"state": 1}
    cell(noisy, "print-3").metadata["execution"] = {"iopub.execute_input": "now"}
    pieces = [v4.new_output("stream", name="stdout", text=text) for text in ("a\n", "b\n")]
    cell(noisy, "print-3").outputs = pieces
    cell(plain, "print-3").outputs = [v4.new_output("stream", name="stdout", text="a\nb\n")]
    assert notebooks.canonical(noisy) == notebooks.canonical(plain)
