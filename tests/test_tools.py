"""The course's own programs: clear failures, equal bytes, style and types."""

import os
import subprocess
import sys

import matplotlib.font_manager
import pytest
from nbformat import v4

from tools import notebooks, run
from tools.errors import CourseError


def program(*arguments, **how):
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(
        command, cwd=notebooks.ROOT, capture_output=True, text=True, check=False, **how
    )


@pytest.mark.parametrize(
    "command", [["ruff", "format", "--check", "."], ["ruff", "check", "."], ["mypy"]], ids=" ".join
)
def test_style_and_types(command):
    result = program(*command)
    assert result.returncode == 0, result.stdout + result.stderr


def test_public_functions_have_docstrings_with_a_purpose():
    import ast

    for file in (notebooks.ROOT / "tools").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{file.name}: {node.name}"


def test_charts_use_the_fonts_of_this_environment():
    """A list of fonts left in the home by another environment made log scales warn."""
    assert os.environ["MPLCONFIGDIR"].startswith(sys.prefix)
    known = {font.name for font in matplotlib.font_manager.fontManager.ttflist}
    assert {"DejaVu Sans", "STIXGeneral", "cmr10"} <= known


def test_an_unknown_notebook_lists_the_known_ones():
    result = program("tools.run", "12_nothing")
    assert result.returncode == 1
    assert "12_nothing" in result.stderr and "02_padding_and_stride" in result.stderr
    assert "Traceback" not in result.stderr


def test_select_by_number_stem_and_path():
    lesson, master = (notebooks.ROOT / "notebooks" / "01_convolution_by_hand.ipynb"), "01"
    both = notebooks.select([master])
    assert [path.stem for path in both] == ["01_convolution_by_hand"] * 2
    assert notebooks.select([str(lesson)]) == [lesson]
    assert notebooks.select(["01_convolution_by_hand"]) == both


def notebook_of(tmp_path, *sources, tags=()):
    cells = [v4.new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(sources)]
    cells[-1].metadata["tags"] = list(tags)
    path = tmp_path / "small.ipynb"
    notebooks.write(v4.new_notebook(cells=cells), path)
    return path


def test_run_twice_gives_the_same_bytes(tmp_path):
    noise = "import time\nprint(time.time())\nassert True"
    path = notebook_of(tmp_path, "print(1)", noise, tags=[notebooks.IGNORED])
    assert run.execute(path)
    first = path.read_bytes()
    assert not run.execute(path)
    assert path.read_bytes() == first
    assert run.execute(path, fresh=True)


def test_a_changed_cell_renews_every_output(tmp_path):
    noise = "import time\nprint(time.time())\nassert True"
    path = notebook_of(tmp_path, "print(1)", noise, tags=[notebooks.IGNORED])
    run.execute(path)
    notebook = notebooks.read(path)
    old = notebook.cells[1].outputs[0].text
    notebook.cells[0].source = "print(2)"
    notebooks.write(notebook, path)
    run.execute(path)
    assert notebooks.read(path).cells[1].outputs[0].text != old


@pytest.mark.parametrize(
    ("source", "word"),
    [("1 / 0", "ZeroDivisionError"), ("import sys; print('oh', file=sys.stderr)", "stderr")],
)
def test_a_failing_cell_is_named_and_the_file_stays(tmp_path, source, word):
    path = notebook_of(tmp_path, "print(1)", source)
    before = path.read_bytes()
    with pytest.raises(CourseError, match=f"small.ipynb: cell 'cell-1': .*{word}"):
        run.execute(path)
    assert path.read_bytes() == before


def test_a_truncated_notebook_is_refused(tmp_path):
    path = notebook_of(tmp_path, "print(1)")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(CourseError, match="small.ipynb"):
        notebooks.read(path)
