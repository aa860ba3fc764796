"""The rules that nbval cannot see. Each takes a notebook and returns what is wrong, as sentences.

A rule that is broken names the cell. tests/test_notebooks.py applies each one to every notebook,
and shows for each that a notebook which breaks it is caught.
"""

import ast
import base64
import re
import statistics
import sys

from tools import notebooks

ALLOWED_IMPORTS = {"numpy", "matplotlib", "keras", "tensorflow", *sys.stdlib_module_names}
PROSE_LIMIT = 80  # words between two code cells, see CONTRIBUTING.md; a heading starts afresh
FIGURE_LIMIT = 60_000  # bytes


def _has_assert(cell):
    return any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(cell.source)))


def _images(cell):
    return [
        data
        for output in cell.outputs
        for kind, data in output.get("data", {}).items()
        if kind in ("image/png", "image/jpeg")
    ]


def executed_in_order(notebook):
    """Code cells count 1..n: a cell without a count would pass nbval without comparison."""
    counts = [cell.execution_count for cell in notebooks.code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        return [f"execution counts are {counts}, not 1 to {len(counts)}: make run"]
    return []


def outputs_belong_to_code(notebook):
    """The stored hash is that of the code: else an old figure stands under new code."""
    stored = notebook.metadata.get("course", {}).get("code_sha256")
    if stored != notebooks.code_hash(notebook):
        return ["the code has changed since its outputs were made: make run"]
    return []


def compared_share(notebook):
    """Return (cells whose output nbval compares, all code cells)."""
    cells = notebooks.code_cells(notebook)
    ignored = [cell for cell in cells if notebooks.IGNORED in notebooks.tags(cell)]
    return len(cells) - len(ignored), len(cells)


def most_cells_are_compared(notebook):
    """At least 90 % of the code cells have their output compared."""
    compared, total = compared_share(notebook)
    if compared < 0.9 * total:
        return [f"only {compared} of {total} code cells have their output compared"]
    return []


def ignored_cells_assert(notebook):
    """A cell whose output is ignored asserts something."""
    return [
        f"{cell.id}: its output is ignored, and it asserts nothing"
        for cell in notebooks.code_cells(notebook)
        if notebooks.IGNORED in notebooks.tags(cell) and not _has_assert(cell)
    ]


def no_errors_stored(notebook):
    """No output is an error, and none was written to stderr."""
    return [
        f"{cell.id}: an error or a warning is stored as its output"
        for cell in notebooks.code_cells(notebook)
        for output in cell.outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ]


def known_tags(notebook):
    """Only the course's tags are used, and no comment switches nbval off."""
    problems = []
    for cell in notebook.cells:
        extra = set(notebooks.tags(cell)) - notebooks.ALLOWED_TAGS
        if extra or re.search(r"(?i)#\s*(NBVAL_|PYTEST_VALIDATE)", cell.source):
            problems.append(f"{cell.id}: unknown tag {extra} or a comment for nbval")
    return problems


def allowed_imports(notebook):
    """Imports come from numpy, matplotlib, keras, tensorflow and the standard library."""
    problems = []
    for cell in notebooks.code_cells(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or "."] if isinstance(node, ast.ImportFrom) else []
            bad = [name for name in names if name.split(".")[0] not in ALLOWED_IMPORTS]
            problems += [f"{cell.id}: imports {name}" for name in bad]
    return problems


def figures_have_alt_text(notebook):
    """Each figure has an alternative text of a sentence or more."""
    return [
        f"{cell.id}: a figure without alt text"
        for cell in notebooks.code_cells(notebook)
        if _images(cell)
        and len(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "").split()) < 6
    ]


def figures_are_light(notebook):
    """Each figure weighs under 60 KB."""
    problems = []
    for cell in notebooks.code_cells(notebook):
        for image in _images(cell):
            size = len(base64.b64decode(image))
            if size > FIGURE_LIMIT:
                problems.append(f"{cell.id}: a figure of {size:,} bytes")
    return problems


def canonical_form(notebook):
    """Every cell has a readable id of its own; ids are what the ledger links to."""
    ids = [cell.id for cell in notebook.cells]
    return [
        f"{name}: not a readable id, or not the only cell that has it"
        for name in ids
        if ids.count(name) > 1 or not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name)
    ]


def bullets_after(text, label):
    """Return the bullet lines that follow ``label`` in ``text``, up to the next paragraph."""
    after = text.partition(label)[2].strip().split("\n\n")[0]
    return [line for line in after.splitlines() if line.startswith("- ")]


OPTION = re.compile(
    r"<details><summary>(?P<text>.+?)</summary>(?P<verdict>Right|No)\. .{20,}</details>"
)


def cells_called(notebook, prefix):
    """Return the cells whose id begins with ``prefix``, in order."""
    return [cell for cell in notebook.cells if cell.id.startswith(prefix)]


def opens_and_closes(notebook):
    """The first cell has title, aims, prerequisites and minutes; the last echoes and links."""
    first, last = notebook.cells[0].source, notebook.cells[-1].source
    problems = []
    if not re.match(r"# .+\n\n\S.+", first):
        problems.append("the first cell does not begin with a title and a sentence")
    aims = bullets_after(first, "**You will be able to**")
    if not 1 <= len(aims) <= 3:
        problems.append(f"the first cell has {len(aims)} aims, not one to three")
    if "**Prerequisites:**" not in first:
        problems.append("the first cell names no prerequisites")
    if not re.search(r"\*\*Time:\*\* .*\d+ minutes.*T4", first):
        problems.append("the first cell does not tell the minutes, and those on a T4")
    if bullets_after(last, "**You can now**") != aims:
        problems.append("the last cell does not echo the aims")
    if not re.search(r"\]\(\.\./exercises/(\d\d_\w+)/\1\.ipynb\)", last):
        problems.append("the last cell does not link the exercise")
    prose = [c.source for c in notebook.cells if c.cell_type == "markdown"]
    if len(re.findall(r"^# ", "\n".join(prose), re.M)) != 1:
        problems.append("there is not exactly one main heading")
    return problems


def asks_questions(notebook):
    """Three to five questions come before the end; each option says at once whether and why."""
    ids = [cell.id for cell in cells_called(notebook, "quiz-")]
    problems = [] if 3 <= len(ids) <= 5 else [f"there are {len(ids)} questions, not three to five"]
    if [cell.id for cell in notebook.cells][-len(ids) - 2 : -1] != ["quiz", *ids]:
        problems.append("the questions do not stand right before the end")
    for number, cell in enumerate(cells_called(notebook, "quiz-"), start=1):
        question, _, options = cell.source.partition("\n\n")
        found = [OPTION.fullmatch(line) for line in options.splitlines()]
        if cell.id != f"quiz-{number}" or not re.match(rf"\*\*{number}\. .+\*\*$", question):
            problems.append(f"{cell.id}: it is not question {number}, in bold")
        if None in found or not 3 <= len(found) <= 4:
            problems.append(f"{cell.id}: not three or four options, each with its reason")
        elif sorted(option["verdict"] for option in found)[-2:] != ["No", "Right"]:
            problems.append(f"{cell.id}: not exactly one option is right")
        elif len({option["text"] for option in found}) < len(found):
            problems.append(f"{cell.id}: two options are the same")
    return problems


def short_cells(notebook):
    """The median code cell has at most 8 lines, and prose comes in small portions."""
    problems = []
    lengths = [len(cell.source.splitlines()) for cell in notebooks.code_cells(notebook)]
    if statistics.median(lengths) > 8:
        problems.append(f"the median code cell has {statistics.median(lengths)} lines")
    for cell in notebook.cells[1:-1]:
        words = len(re.sub(r"\$\$.*?\$\$|^#.*$|^\|.*$", "", cell.source, flags=re.S | re.M).split())
        if cell.cell_type == "markdown" and words > 2 * PROSE_LIMIT:
            problems.append(f"{cell.id}: {words} words without a cell to run")
    return problems


def plain_markdown(notebook):
    """GitHub and Colab show notebooks too: no MyST directives or roles in them."""
    return [
        f"{cell.id}: MyST syntax in a notebook"
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        and re.search(r"^(:::|```\{)|\{[a-z:]+\}`", cell.source, re.M)
    ]


EVERY_NOTEBOOK = [allowed_imports, known_tags, canonical_form, plain_markdown]
EXECUTED = [
    executed_in_order,
    outputs_belong_to_code,
    most_cells_are_compared,
    ignored_cells_assert,
    no_errors_stored,
    figures_have_alt_text,
    figures_are_light,
]
LESSON = [opens_and_closes, asks_questions, short_cells]
