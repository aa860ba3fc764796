"""Answers with nothing in them: what a cell makes keeps its shape and loses its numbers.

``hollow`` takes the source of an answer cell and returns the source of another one. It runs
wherever the answer runs: in a notebook, in this process, behind the grader's wall. A check that
gives a point to one of them compares nothing. Keras's layers and models stay as they are.
"""

import ast

KINDS = {
    "same": "every number is a copy of itself: the control, which keeps its points",
    "zeros": "0 in place of every number, in arrays of the same shape and type",
    "nan": "NaN in place of every number, in arrays of the same shape",
    "bare": "an array with a further axis of length 0 in front of the same shape",
    "object": "an object that tells the same shape and hands over an array of size 0",
}

COUNT = "hollow_numbers"  # the name, in the namespace of the cell, of how often this happened

TAIL = '''

class _Hollow:
    def __init__(self, shape):
        self.shape, self.ndim, self.dtype = tuple(shape), len(shape), _hollow_np.dtype("float64")
        self.size = int(_hollow_np.prod(shape))

    def __len__(self):
        return self.shape[0]

    def __array__(self, dtype=None, copy=None):
        return _hollow_np.zeros((0, *self.shape), dtype=dtype)


def _hollow_array(array, number):
    """Return what stands for an array, or for a single number."""
    global hollow_numbers
    hollow_numbers += 1
    if _hollow_kind == "object":
        return _Hollow(array.shape)
    if _hollow_kind == "bare":
        return _hollow_np.zeros((0, *array.shape))
    if _hollow_kind == "nan":
        return float("nan") if number else _hollow_np.full(array.shape, float("nan"))
    made = _hollow_np.zeros_like(array) if _hollow_kind == "zeros" else array.copy()
    return made.item() if number else made


def _hollow_value(value):
    """Return the value with nothing in it; texts, None and objects of Keras as they are."""
    if callable(getattr(value, "numpy", None)):
        value = value.numpy()
    if isinstance(value, _hollow_np.ndarray):
        return _hollow_array(value, number=False)
    if isinstance(value, (bool, int, float, _hollow_np.generic)):
        return _hollow_array(_hollow_np.asarray(value), number=True)
    if isinstance(value, list) and _hollow_kind in ("object", "bare") and _hollow_flat(value):
        return _hollow_array(_hollow_np.asarray(value), number=False)
    if isinstance(value, (list, tuple)):
        return type(value)(_hollow_value(part) for part in value)
    if isinstance(value, dict):
        return {name: _hollow_value(part) for name, part in value.items()}
    return value


def _hollow_flat(value):
    """Return whether a list is one array of plain numbers, and not several ones."""
    if isinstance(value, (list, tuple)):
        shapes = {_hollow_np.shape(part) for part in value if _hollow_flat(part)}
        return len(shapes) == 1 and all(_hollow_flat(part) for part in value)
    return isinstance(value, (bool, int, float))


def _hollow_function(function):
    def wrapped(*arguments, **keywords):
        return _hollow_value(function(*arguments, **keywords))

    return wrapped
'''


def hollow(source: str, kind: str) -> str:
    """Return the source of an answer cell that gives everything of ``source`` without its numbers.

    ``kind`` is one of KINDS. Functions give hollow results, names hold hollow values. A function
    that another one of the cell calls stays as it is.
    """
    assert kind in KINDS, kind
    values, functions = _defined(source)
    lines = ["import numpy as _hollow_np", "", f"_hollow_kind = {kind!r}", f"{COUNT} = 0"]
    lines += [f"{name} = _hollow_value({name})" for name in values]
    lines += [f"{name} = _hollow_function({name})" for name in functions]
    head, body = lines[:4], lines[4:]
    return "\n".join([source.rstrip("\n"), "", *head]) + TAIL + "\n\n" + "\n".join(body) + "\n"


def _defined(source: str) -> tuple[list[str], list[str]]:
    """Return the names of the values and of the functions that a cell defines, in order."""
    values, functions, called = [], [], set()
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.FunctionDef):
            functions.append(statement.name)
            inside = (node.id for node in ast.walk(statement) if isinstance(node, ast.Name))
            called |= set(inside) - {statement.name}
        elif isinstance(statement, ast.Assign):
            names = (node for target in statement.targets for node in ast.walk(target))
            values += [node.id for node in names if isinstance(node, ast.Name)]
    return list(dict.fromkeys(values)), [name for name in functions if name not in called]
