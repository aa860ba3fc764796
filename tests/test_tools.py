"""The course's own programs: clear failures, equal bytes, style and types."""

import datetime
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import matplotlib.font_manager
import pytest
from nbformat import v4
from sphinx.errors import ExtensionError

from tools import epub, notebooks, pdf, run, serve
from tools.course_site import mathml
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


def test_every_lesson_says_when_its_present_code_last_ran():
    runs = json.loads(run.VERIFIED.read_text(encoding="utf-8"))
    assert list(runs) == [path.stem for path in notebooks.lessons()]
    for path in notebooks.lessons():
        known = runs[path.stem]
        assert known["code_sha256"] == notebooks.code_hash(notebooks.read(path)), (
            f"make run: {path}"
        )
        assert datetime.date(2026, 1, 1) < datetime.date.fromisoformat(known["date"])
        assert known["seconds"] > 0 and set(known["versions"]) == set(run.versions())


def test_a_run_is_recorded_only_if_it_is_news(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "VERIFIED", tmp_path / "verified.json")
    [path] = notebooks.select([str(notebooks.lessons()[0])])
    run.record(path, 12.4)
    first = run.VERIFIED.read_text(encoding="utf-8")
    assert json.loads(first)[path.stem]["seconds"] == 12
    run.record(path, 99)
    assert run.VERIFIED.read_text(encoding="utf-8") == first
    run.record(path, 99, fresh=True)
    assert json.loads(run.VERIFIED.read_text(encoding="utf-8"))[path.stem]["seconds"] == 99


def test_formulas_become_mathml():
    formula = mathml.to_mathml(r"\frac{a_1}{\sqrt{b}} \le \sum_{i=1}^{n} x_i^2", "block")
    assert formula.startswith("<math") and 'display="block"' in formula
    for element in ("mfrac", "msqrt", "munderover", "msubsup", "msub"):
        assert f"<{element}>" in formula


@pytest.mark.parametrize("formula", [r"\unknown{x}", r"\frac{x", "x_", r"\left( x"])
def test_a_broken_formula_stops_the_build(formula):
    with pytest.raises(ExtensionError, match="writing the formula"):
        mathml.to_mathml(formula, "inline")


def test_ebook_declares_the_pages_with_formulas(tmp_path):
    items = [f'<item id="{n}" href="{n}.xhtml" media-type="application/xhtml+xml" />' for n in "ab"]
    with zipfile.ZipFile(tmp_path / "old.epub", "w") as file:
        file.writestr("mimetype", "application/epub+zip")
        file.writestr("content.opf", "".join(items))
        file.writestr("a.xhtml", "<math/>")
        file.writestr("b.xhtml", "<p/>")
    assert epub.declare_mathml(tmp_path / "old.epub", tmp_path / "new.epub") == 1
    with zipfile.ZipFile(tmp_path / "new.epub") as file:
        assert file.namelist() == ["mimetype", "content.opf", "a.xhtml", "b.xhtml"]
        manifest = file.read("content.opf").decode()
    assert re.findall(r'href="(\w)\.xhtml"[^>]*properties="mathml"', manifest) == ["a"]


def test_pdf_follows_the_table_of_contents():
    pages = list(pdf.pages())
    assert pages[0] == ("index", 0)
    at = pages.index(("notebooks/02_padding_and_stride", 0))
    assert pages[at + 1] == ("exercises/02_padding_and_stride/02_padding_and_stride", 1)


def test_a_port_that_is_taken_is_named_with_a_free_one_to_try(tmp_path):
    (tmp_path / "index.html").write_text("x", encoding="utf-8")
    with serve.serving(tmp_path) as address:
        port = int(address.rpartition(":")[2])
        with pytest.raises(CourseError, match=f"PORT={port + 1}"), serve.serving(tmp_path, port):
            pass


def test_serving_without_a_book_says_how_to_build_one(tmp_path):
    with pytest.raises(CourseError, match="make book"), serve.serving(tmp_path):
        pass


@pytest.mark.parametrize(
    "command",
    ["check-jsonschema --builtin-schema vendor.github-workflows", "zizmor --offline --quiet"],
)
def test_workflow_files_are_right(command):
    name, *options = command.split()
    files = sorted((notebooks.ROOT / ".github" / "workflows").glob("*.yml"))
    assert len(files) == 2
    checker = Path(sys.executable).with_name(name)
    result = subprocess.run([checker, *options, *files], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
