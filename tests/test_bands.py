"""Results over seeds belong to the present code of their experiment, and hold enough seeds."""

import json

import pytest
from nbformat import v4

from tools import bands, notebooks
from tools.errors import CourseError

NAMES = list(bands.experiments())


@pytest.mark.parametrize("name", NAMES)
def test_results_are_of_the_present_code(name):
    stored = json.loads(bands.path_of(name).read_text(encoding="utf-8"))
    assert stored["code_sha256"] == bands.code_hash(name), f"make bands NB={name}"
    alone = any(f"{name.upper()}_SEEDS" in source for _, source in bands.cells_of(name))
    assert len(stored["seeds"]) >= (1 if alone else 5)
    assert {str(seed) for seed in bands.seeds_of(name)} <= set(stored["seeds"])
    assert {"tensorflow", "keras", "cpus"} <= set(stored["made_with"])


def test_every_file_of_results_has_an_experiment():
    assert sorted(path.stem for path in bands.BANDS.glob("*")) == sorted(NAMES)


def test_every_experiment_is_read_by_its_lesson():
    for name, lesson in bands.experiments().items():
        code = "\n".join(cell.source for cell in notebooks.code_cells(notebooks.read(lesson)))
        assert f'load_band("{name}")' in code, name


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with one lesson, whose experiment is to be set by its two cells."""

    def write(*sources, name="dice"):
        cells = [
            v4.new_code_cell(source, id=f"cell-{i}", metadata={"bands": [name]})
            for i, source in enumerate(sources)
        ]
        cells.append(v4.new_code_cell("raise RuntimeError('not of the experiment')", id="other"))
        notebooks.write(v4.new_notebook(cells=cells), tmp_path / "notebooks" / "20_dice.ipynb")

    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(bands, "BANDS", tmp_path / "bands")
    monkeypatch.chdir(tmp_path)
    return write


IMPORT = "import random"
RUN = "def run_dice(seed):\n    return {'throw': random.Random(seed).randint(1, 6), 'list': [1]}"


def test_an_experiment_runs_its_own_cells_for_five_seeds(course):
    course(IMPORT, RUN)
    bands.run("dice")
    results = bands.read("dice")
    assert list(results["seeds"]) == ["0", "1", "2", "3", "4"]
    assert results["seeds"]["3"]["list"] == [1]
    assert 1 <= results["seeds"]["3"]["throw"] <= 6


def test_stored_seeds_are_kept_and_the_missing_ones_are_run(course):
    course(IMPORT, RUN)
    bands.run("dice")
    results = bands.read("dice")
    results["seeds"]["0"] = {"throw": 99}
    del results["seeds"]["4"]
    bands.write("dice", results)
    bands.run("dice")
    assert bands.read("dice")["seeds"]["0"] == {"throw": 99}
    assert "4" in bands.read("dice")["seeds"]
    bands.run("dice", fresh=True)
    assert bands.read("dice")["seeds"]["0"]["throw"] <= 6


def test_complete_results_cost_nothing(course, tmp_path):
    course(
        "open('prepared', 'a').write('x')", RUN.replace("random.Random(seed).randint(1, 6)", "6")
    )
    bands.run("dice")
    bands.run("dice")
    assert (tmp_path / "prepared").read_text() == "x"


def test_results_of_other_code_do_not_count(course):
    course(IMPORT, RUN)
    bands.run("dice")
    course(IMPORT, RUN.replace("6", "8"))
    assert bands.read("dice")["seeds"] == {}


def test_a_cell_that_moves_keeps_the_results(course):
    course(IMPORT, "SIDES = 6", RUN)
    bands.run("dice")
    course("SIDES = 6", IMPORT, RUN)
    assert len(bands.read("dice")["seeds"]) == 5


def test_an_experiment_may_name_its_seeds(course):
    course(IMPORT, RUN, "DICE_SEEDS = [7]")
    bands.run("dice")
    assert list(bands.read("dice")["seeds"]) == ["7"]


@pytest.mark.parametrize(
    ("sources", "told"),
    [(["1 / 0"], "cell 'cell-0': division by zero"), ([IMPORT], r"defines run_dice\(seed\)")],
)
def test_a_failing_experiment_is_named(course, sources, told):
    course(*sources)
    with pytest.raises(CourseError, match=told):
        bands.run("dice")


def test_an_unknown_experiment_lists_the_known_ones(course):
    course(IMPORT, RUN)
    with pytest.raises(CourseError, match="'cards': there is none. Known: dice"):
        bands.run("cards")
