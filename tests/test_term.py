"""The plan for a term: its sums are computed again, and what it quotes is still there."""

import math
import re

import numpy as np
import pytest
import yaml

from tests.scoring import functions_of
from tools import notebooks

PAGE = notebooks.ROOT / "book" / "term.md"
TEXT = PAGE.read_text(encoding="utf-8")
WEEKS = {
    int(number): text
    for number, text in re.findall(r"^## Week (\d+): (.*?)(?=^## |\Z)", TEXT, re.M | re.S)
}
PARTS = [
    "The sum for the board",
    "The prediction to ask aloud",
    "The mistake that always comes",
    "Set",
    "Without internet",
]
STEMS = {path.stem[:2]: path.stem for path in notebooks.lessons()}
NAMES = {
    "exp": math.exp, "log": math.log, "sqrt": math.sqrt, "tanh": math.tanh, "max": max,
    "floor": math.floor, "ceil": math.ceil, "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
}  # fmt: skip
LINK = re.compile(r"\[([^\]]+)\]\(\.\./notebooks/(\w+)\.ipynb#([\w-]+)\)")


def part(week, name):
    """Return the text of a part of a week."""
    found = re.search(rf"^\*\*{name}\.\*\*(.*?)(?=^\*\*[A-Z]|\Z)", WEEKS[week], re.M | re.S)
    assert found, f"week {week} lacks: {name}"
    return found[1]


def board(text):
    """Return the sums in the text blocks of ``text``, as {name: value}; check each line.

    A line is "name = expression = number", or with "≈" before a rounded number.
    """
    values = {}
    for block in re.findall(r"^```text\n(.*?)^```", text, re.M | re.S):
        for line in block.splitlines():
            match = re.fullmatch(r"(\w+) = (.+) ([=≈]) (−?[\d.]+)", line)
            assert match, f"not a sum: {line}"
            name, expression, sign, shown = match.groups()
            for mark, operator in (("·", "*"), ("−", "-"), ("²", "**2")):
                expression, shown = (s.replace(mark, operator) for s in (expression, shown))
            value = eval(expression, {"__builtins__": {}}, NAMES | values)
            digits = len(shown.partition(".")[2])
            off = abs(value - float(shown))
            assert off <= (0.5000001 * 10**-digits if sign == "≈" else 1e-9), f"{line}: {value}"
            assert sign == "=" or off > 1e-9, f"{line} is exact"
            values[name] = value
    return values


# What the lesson's own functions, or NumPy's, make of the same numbers.


def convolution(v):
    y = functions_of("01_convolution_by_hand")["convolve1d"](
        np.array([1, 4, 2, 0, 3]), np.array([2, -1, 1])
    )
    assert [v["y0"], v["y1"], v["y2"]] == y.tolist()


def padding(v):
    lesson = functions_of("02_padding_and_stride")
    assert v["size"] == lesson["output_size"](9, 4, 2, 1)
    assert v["windows"] == lesson["output_size"](9, 4, 2, "same")
    assert (v["before"], v["after"]) == lesson["pad_amounts"](9, 4, 2, "same")


def pooling(v):
    image = np.array([[1, 5, 2, 0], [3, 7, 8, 6]])
    pool = functions_of("03_pooling")["pool"]
    for name, reduce in (("max", np.nanmax), ("mean", np.nanmean)):
        pooled = pool(image[None, :, :, None], reduce).ravel()
        assert [v[f"{name}0"], v[f"{name}1"]] == pooled.tolist()
    assert [v["back0"], v["back1"]] == [3 * 0.25, 2 * 0.25]


def backwards(v):
    def loss(lower, upper):
        p = 1 / (1 + np.exp(-upper * max(lower * 1, 0)))
        return -np.log(p)

    step = 1e-6
    assert np.isclose(v["upper"], (loss(0.5, 2 + step) - loss(0.5, 2 - step)) / (2 * step))
    assert np.isclose(v["lower"], (loss(0.5 + step, 2) - loss(0.5 - step, 2)) / (2 * step))


def softmax(v):
    logits = np.array([2.0, 1.0, 0.0])
    p = np.exp(logits) / np.exp(logits).sum()
    assert np.allclose([v["p"], v["loss"], v["gradient"]], [p[0], -np.log(p[0]), p[0] - 1])


def network(v, size, layers):
    """Check sizes, parameters and fields of a stack of ("conv", k, filters) or ("pool", k)."""
    lesson = functions_of("02_padding_and_stride")
    channels, total, seen, convs = 1, 0, [], 0
    for number, (kind, k, *filters) in enumerate(layers, start=1):
        stride = k if kind == "pool" else 1
        size = lesson["output_size"](size, k, stride)
        assert v[f"size{number}"] == size
        seen.append((k, stride))
        if filters:
            convs += 1
            count = np.ones((k, k, channels, filters[0])).size + filters[0]
            assert v[f"conv{convs}"] == count
            channels, total = filters[0], total + count
        if f"field{number}" in v:
            assert v[f"field{number}"] == lesson["receptive_field"](seen)
    dense = np.ones((size * size * channels, 10)).size + 10
    assert (v["dense"], v["total"]) == (dense, total + dense)


def residual(v):
    def f(x):
        return -3 * np.maximum(0.5 * x, 0)

    step = 1e-6
    slope = (f(2 + step) - f(2 - step)) / (2 * step)
    assert np.allclose([v["y"], v["slope_y"]], [2 + f(2), 1 + slope])
    assert np.allclose([v["plain"], v["residual"]], [np.prod(3 * [0.1]), np.prod(3 * [1.1])])


def dropout(v):
    units, weights = np.array([1.0, 3.0]), np.array([2.0, -1.0])
    masks = np.array([[1, 1], [1, 0], [0, 1], [0, 0]])
    sums = (masks * units / 0.5) @ weights
    assert [v["both"], v["first"], v["second"], v["none"]] == sums.tolist()
    assert v["mean"] == sums.mean() == v["test"] == units @ weights
    assert v["relu"] == np.maximum(sums, 0).mean() and max(v["test"], 0) == 0


def percent(v):
    before, after = 0.71, 0.82
    assert np.isclose(v["accuracy"], after / before - 1)
    assert np.isclose(v["errors"], 1 - (1 - after) / (1 - before))
    answers = np.repeat([1.0, 0.0], [750, 250])
    assert np.isclose(v["scatter"], answers.std() / np.sqrt(1000))
    assert np.isclose(v["difference"], np.hypot(v["scatter"], v["scatter"]))


def recurrent(v):
    x = np.array([[[1.0], [0.0], [2.0]]])
    rnn = functions_of("09_rnn_by_hand")["rnn"]
    states = rnn(x, np.array([[0.5]]), np.array([[0.8]]), np.array([0.1])).ravel()
    assert np.allclose([v["h1"], v["h2"], v["h3"]], states)
    step = 1e-6
    last = [np.tanh(0.5 * 2 + 0.8 * (states[1] + s) + 0.1) for s in (step, -step)]
    assert np.isclose(v["back"], (last[0] - last[1]) / (2 * step))


def lstm(v):
    W = np.array([[-1.0, 1.0, 0.5, 2.0]])
    U = np.array([[2.0, 0.0, 1.0, -2.0]])
    b = np.array([0.0, 1.0, 0.0, 0.0])
    sums = np.array([1.0]) @ W + np.array([0.5]) @ U + b
    assert [v[f"sum_{gate}"] for gate in "ifgo"] == sums.tolist()
    i, f, o = 1 / (1 + np.exp(-sums[[0, 1, 3]]))
    c = f * 1 + i * np.tanh(sums[2])
    assert np.allclose([v["c"], v["h"]], [c, o * np.tanh(c)])


def activation_map(v):
    maps = np.array([[4, 0, 2, 0], [0, 3, 2, 1]])
    gradients = np.array([[2, 1, 1, 0], [-1, 0, -2, -1]])
    weights = gradients.mean(axis=1)
    assert [v["w1"], v["w2"]] == weights.tolist()
    assert [v[f"c{n}"] for n in range(1, 5)] == np.maximum(weights @ maps, 0).tolist()


def scatter(v):
    for n in (100, 400):
        answers = np.repeat([1.0, 0.0], [9 * n // 10, n // 10])
        assert np.isclose(v[f"with{n}"], answers.std() / np.sqrt(n))
    assert np.isclose(np.sqrt(0.9 * 0.1 / v["images"]), v["with400"] / 2)


CHECKS = {
    1: convolution,
    2: padding,
    3: pooling,
    4: backwards,
    5: softmax,
    6: lambda v: network(v, 12, [("conv", 3, 4), ("pool", 2), ("conv", 2, 8), ("pool", 2)]),
    7: residual,
    8: lambda v: network(v, 20, [("conv", 5, 4), ("pool", 2), ("conv", 3, 8)]),
    9: dropout,
    10: percent,
    11: recurrent,
    12: lstm,
    13: activation_map,
    14: scatter,
}


@pytest.mark.parametrize("week", CHECKS)
def test_every_sum_for_the_board_is_right(week):
    values = board(part(week, PARTS[0]))
    assert len(values) >= 3
    CHECKS[week](values)


@pytest.mark.parametrize(
    "line", ["a = 2·3 = 7", "a = 1 / 3 ≈ 0.34", "a = 1 / 3 = 0.33", "a = 2 ≈ 2", "so a is 6"]
)
def test_a_wrong_sum_is_found(line):
    with pytest.raises(AssertionError):
        board(f"```text\n{line}\n```\n")


def test_another_number_on_the_board_is_found():
    with pytest.raises(AssertionError):
        convolution(board("```text\ny0 = 1·2 = 2\ny1 = 3·2 = 6\ny2 = 7 = 7\n```\n"))


# ---- what the page says of lessons and exercises ----


def test_fourteen_weeks_have_all_parts_in_order():
    assert list(WEEKS) == list(range(1, 15)) == list(CHECKS)
    for week, text in WEEKS.items():
        found = re.findall(r"^\*\*([A-Z][^*]*)\.\*\*", text, re.M)
        assert [name for name in found if name != "At home"] == PARTS, week


def test_the_minutes_of_each_class_are_fifty():
    for week, text in WEEKS.items():
        minutes = [int(n) for n in re.findall(r"^\| (\d+) \| \S", text, re.M)]
        assert 50 in np.cumsum(minutes), week
        assert sum(minutes) == 100, week


def sections(stem):
    """Return {anchor: text of its section} of a lesson, for its headings and its code cells."""
    found, anchor = {}, ""
    for cell in notebooks.read(notebooks.ROOT / "notebooks" / f"{stem}.ipynb").cells:
        if cell.cell_type == "code":
            found[cell.id] = anchor
            continue
        for line in cell.source.splitlines():
            if line.startswith("## "):
                title = re.sub(r"[^\w\- ]", "", line[3:].lower()).strip()
                anchor = title.replace(" ", "-")
                found[anchor] = ""
        if anchor:
            found[anchor] += cell.source + "\n"
    return found


def test_every_section_of_every_lesson_is_in_the_plan():
    linked = {}
    for _, stem, anchor in LINK.findall(TEXT):
        linked.setdefault(stem, set()).add(anchor)
    for stem in STEMS.values():
        known = sections(stem)
        cells = {anchor: known[anchor] for anchor in linked[stem] if known[anchor] in known}
        wanted = [name for name, text in known.items() if text.startswith("## ")]
        missing = set(wanted) - linked[stem] - set(cells.values())
        assert missing <= {"check-yourself", "where-you-stand"}, stem


def test_every_prediction_stands_in_its_lesson_where_the_link_leads():
    for week in WEEKS:
        text = " ".join(part(week, PARTS[1]).split())
        links = re.findall(r"\[\"([^\]]+)\"\]\(\.\./notebooks/(\w+)\.ipynb#([\w-]+)\)", text)
        assert len(links) == 1, week
        question, stem, anchor = links[0]
        asked = [text.split("\n\n")[0] for text in sections(stem)[anchor].split("**Predict.**")]
        assert any(question in text for text in asked[1:]), f"week {week}: {question}"


def master_of(number):
    return notebooks.ROOT / "solutions" / STEMS[number]


def exercise_of(week):
    found = re.search(r"Exercise (\d\d)", part(week, "Set"))
    return found[1] if found else ""


def test_every_mistake_is_a_wrong_answer_that_the_tests_know():
    for week in WEEKS:
        text = " ".join(part(week, PARTS[2]).split())
        named = re.findall(r"\*([^*]+)\* \(question (\d)(?: of exercise (\d\d))?\)", text)
        assert named, week
        for name, question, other in named:
            file = master_of(other or exercise_of(week)) / "mutants.yml"
            mutants = yaml.safe_load(file.read_text(encoding="utf-8"))[f"answer-{question}"]
            known = {mutant["name"].lower() for mutant in mutants}
            assert name.lower() in known, f"week {week}: {name} is not in {file}"


def test_every_question_is_set_once_with_its_points():
    asked = {}
    for week in WEEKS:
        number = exercise_of(week)
        for question, points in re.findall(r"\b(\d) \((\d)\)", part(week, "Set") if number else ""):
            assert question not in asked.setdefault(number, {}), (week, question)
            asked[number][question] = int(points)
    for number in STEMS:
        cells = notebooks.read(next(master_of(number).glob("*.ipynb"))).cells
        there = {}
        for cell in cells:
            grader = cell.metadata.get("nbgrader", {})
            if grader.get("grade"):
                there[grader["grade_id"].rsplit("-", 1)[1]] = int(grader["points"])
        assert asked[number] == there, number
    points = sum(map(int, re.findall(r"\((\d)\)", part(14, "Set"))))
    assert points == 10
