"""Values cross the wall as they are, networks are built again, and nothing else is believed."""

import json

import numpy as np
import pytest

from tools.grading import values


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, 2**80, -0.5, float("inf"), 1 + 2j, "가", b"x", (1, [2, {"a": (3,)}]), {1, 2},
        slice(1, None, 2), ..., np.arange(6).reshape(2, 3), np.float32(0.1), np.array(7),
        np.zeros((0, 3)), np.dtype("int16"),
    ],
    ids=repr,
)  # fmt: skip
def test_values_cross_as_they_are(value):
    tree, blobs = values.dump(value, lambda item: pytest.fail(f"{item!r} does not cross"))
    found = values.load(json.loads(json.dumps(tree)), blobs, lambda node: pytest.fail(str(node)))
    assert type(found) is type(value)
    np.testing.assert_equal(found, value)


def test_a_generator_crosses_with_its_state():
    rng = np.random.default_rng(5)
    rng.random(3)
    tree, blobs = values.dump(rng, pytest.fail)
    copy = values.load(json.loads(json.dumps(tree)), blobs, pytest.fail)
    assert copy.random() == rng.random()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([(5, 2), (3, 1)], [(3, 1), (5, 2)]),  # reversed in place: once taken for unchanged
        ([1, 2, 3], [1]),
        ([1], [1, 2]),
        ({"a": [1], "b": 2}, {"a": [1, 2], "c": 3}),
        ([np.arange(3.0)], [np.arange(3.0) + 1]),
        (([1],), ([2],)),
    ],
    ids=str,
)
def test_a_change_of_an_argument_is_seen(before, after):
    parts = list(before.values()) if isinstance(before, dict) else list(before)
    found = values.write_back(before, after)
    np.testing.assert_equal(found, after)
    if isinstance(before, list | dict):
        assert found is before
    if isinstance(parts[0], np.ndarray):
        assert before[0] is parts[0]


@pytest.mark.parametrize(
    "tree",
    [
        ["array", "|O", [1], 0], ["array", "<f8", [10**9, 10**9], 0], ["array", "<f8", [-1], 0],
        ["array", "<f8", [1], 7], ["array", "<f8", "x", 0], ["array"], ["int", "zz"], {"a": 1}, [],
        ["float", []], ["dict", [[["list", []], 1]]], ["bytes", -1], ["dtype", "O"], ["what", 1],
        ["generator", ["dict", []]], ["scalar", "<f8", 0], ["slice", 1, 2, 3, 4],
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_not_a_value_is_refused(tree):
    def refuse(node):
        raise values.BadValueError(node)

    with pytest.raises(values.BadValueError):
        values.load(tree, [b""], refuse)
