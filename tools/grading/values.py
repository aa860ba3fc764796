"""Values that cross the wall: plain data and arrays as bytes. Nothing is ever unpickled.

A frame is a length, a JSON text and the raw bytes of the arrays in it. Both sides use this
module; the one outside trusts nothing it reads, so every check here raises, none is an assert.
Whatever can be had as an array of numbers crosses as one, with the shape that it really has.
What is neither plain data nor an array stays on its side, and a reference to it crosses.
"""

from __future__ import annotations

import json
import math
import socket
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

MAX_FRAME = 64 * 2**20  # bytes of the arrays; the largest of the course's checks has 7 MB
MAX_TEXT = 8 * 2**20  # bytes of JSON, which take up to thirty times as much when they are read
MAX_DEPTH = 40
MAX_ITEMS = 500_000  # values in one frame, arrays counting as one
# Numbers can be chosen so that all of them have one hash, and then a set of n takes n * n steps.
MAX_HASHED = 2_000  # elements of a set, or keys of a dict
ARRAY_KINDS = "biufc"  # booleans and numbers; NumPy's objects and strings stay outside
HEAD = struct.Struct("!IQ")  # lengths of the JSON text and of the bytes after it


class BadValueError(ValueError):
    """What came through the wall is not in the format, or larger than allowed."""


class Tensor(np.lib.mixins.NDArrayOperatorsMixin):
    """A tensor or variable of Keras or TensorFlow as it comes through the wall: its numbers.

    It answers like a tensor, and is no NumPy array: a check that asks for one is not content.
    """

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self._array = array
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def numpy(self) -> Any:
        """Return the numbers as an array."""
        return self._array.copy()

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array(self._array, dtype=dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        plain = (one._array if isinstance(one, Tensor) else one for one in inputs)
        return getattr(ufunc, method)(*plain, **keywords)

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Any:
        return iter(self._array)

    def __getitem__(self, key: Any) -> Any:
        return self._array[key]

    def __bool__(self) -> bool:
        return bool(self._array)

    def __float__(self) -> float:
        return float(self._array)

    def __int__(self) -> int:
        return int(self._array)

    __index__ = __int__

    def __round__(self, digits: int | None = None) -> Any:
        return round(float(self._array), digits)

    def __repr__(self) -> str:
        return repr(self._array)

    def __format__(self, how: str) -> str:
        return format(self._array[()] if self.ndim == 0 else self._array, how)


def clean(text: Any, limit: int) -> str:
    """Return at most ``limit`` characters of a text that can be encoded, whatever came as one.

    Half characters (lone surrogates) and control characters other than line breaks and tabs become
    question marks: none of them may reach a file, a page or a terminal.
    """
    if not isinstance(text, str):
        return ""
    shown = str.__str__(text)[:limit]
    return "".join(c if c in "\n\t" or _visible(c) else "?" for c in shown)


def _visible(character: str) -> bool:
    """Return whether a character may be shown: no control, surrogate, or change of direction."""
    code = ord(character)
    return not (
        code < 32 or 127 <= code < 160 or 0xD800 <= code < 0xE000
        or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    )  # fmt: skip


def as_array(item: Any) -> np.ndarray[Any, Any] | None:
    """Return what stands for an array of numbers as a real one, or None if it is none."""
    if isinstance(item, type) or not hasattr(item, "__array__"):
        return None
    array = np.ndarray.view(item, np.ndarray) if isinstance(item, np.ndarray) else None
    array = np.asarray(item) if array is None else array
    return array if isinstance(array, np.ndarray) and array.dtype.kind in ARRAY_KINDS else None


def dump(
    value: Any,
    refer: Callable[[Any], list[Any]],
    keep: Callable[[Any], list[Any] | None] = lambda item: None,
) -> tuple[Any, list[bytes]]:
    """Return ``value`` as a JSON tree and the list of array bytes that the tree points to.

    ``refer`` returns the tree for an object that does not cross, or raises BadValueError. ``keep``
    does so before an object is asked for its numbers, or returns None if it may be asked.
    """
    blobs: list[bytes] = []
    left = MAX_ITEMS

    def walk(item: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if depth > MAX_DEPTH or left < 0:
            raise BadValueError(f"a value is nested deeper than {MAX_DEPTH} or has too many parts")
        if item is None or type(item) in (bool, str):
            return item
        if isinstance(item, str):  # a subclass of it: only its characters cross
            return str.__str__(item)
        if isinstance(item, int):
            item = int.__int__(item)
            return item if abs(item) < 2**53 else ["int", hex(item)]
        if isinstance(item, float) and not isinstance(item, np.generic):
            item = float.__float__(item)
            return item if math.isfinite(item) else ["float", repr(item)]
        if isinstance(item, np.dtype) and item.kind in ARRAY_KINDS:
            return ["dtype", item.str]
        if isinstance(item, np.random.Generator):
            return ["generator", walk(item.bit_generator.state, depth + 1)]
        if isinstance(item, complex) and not isinstance(item, np.generic):
            return ["complex", repr(item.real), repr(item.imag)]
        if isinstance(item, slice):
            ends = (item.start, item.stop, item.step)
            return ["slice", *(walk(end, depth + 1) for end in ends)]
        if item is Ellipsis:
            return ["ellipsis"]
        if isinstance(item, bytes):
            blobs.append(bytes(item))
            return ["bytes", len(blobs) - 1]
        kinds: tuple[Any, ...] = (tuple, list, set, frozenset, range)
        for kind in kinds:
            if isinstance(item, kind):
                return [kind.__name__, [walk(part, depth + 1) for part in kind.__iter__(item)]]
        if isinstance(item, dict):
            pairs = dict.items(item)
            return ["dict", [[walk(key, depth + 1), walk(part, depth + 1)] for key, part in pairs]]
        if type(item).__module__.startswith("tensorflow") and hasattr(item, "as_list"):
            return ["tuple", [walk(size, depth + 1) for size in item]]  # a TensorShape
        kept = keep(item)
        if kept is not None:
            return kept
        array = as_array(item)
        if array is None:
            return refer(item)
        if array.nbytes > MAX_FRAME:
            raise BadValueError(f"an array of {array.nbytes:,} bytes; {MAX_FRAME:,} are allowed")
        blobs.append(np.ascontiguousarray(array).tobytes())
        if isinstance(item, np.generic):
            return ["scalar", array.dtype.str, len(blobs) - 1]
        name = "array" if isinstance(item, np.ndarray) else "tensor"
        return [name, array.dtype.str, list(array.shape), len(blobs) - 1]

    return walk(value, 0), blobs


def load(tree: Any, blobs: list[bytes], resolve: Callable[[list[Any]], Any]) -> Any:
    """Return the value of a JSON tree; ``resolve`` returns what a reference stands for.

    Raises BadValueError for anything that ``dump`` cannot have written.
    """
    left = MAX_ITEMS

    def blob(index: Any) -> bytes:
        if type(index) is not int or not 0 <= index < len(blobs):
            raise BadValueError(f"there are no array bytes number {index!r}")
        return blobs[index]

    def dtype(name: Any) -> np.dtype[Any]:
        try:
            found = np.dtype(str(name))
        except TypeError as error:
            raise BadValueError(f"no type of numbers is called {name!r}") from error
        if found.kind not in ARRAY_KINDS:
            raise BadValueError(f"arrays of {found} do not cross")
        return found

    def array(name: Any, shape: Any, index: Any) -> np.ndarray[Any, Any]:
        if not isinstance(shape, list) or len(shape) > 32:
            raise BadValueError(f"{shape!r} is no shape")
        if not all(type(size) is int and size >= 0 for size in shape):
            raise BadValueError(f"{shape!r} is no shape")
        raw, kind = blob(index), dtype(name)
        if math.prod(shape) * kind.itemsize != len(raw):
            raise BadValueError(f"an array of shape {shape} does not have {len(raw)} bytes")
        return np.frombuffer(bytearray(raw), kind).reshape(shape)

    def walk(node: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if depth > MAX_DEPTH or left < 0:
            raise BadValueError(f"a value is nested deeper than {MAX_DEPTH} or has too many parts")
        if node is None or type(node) in (bool, str, int, float):
            return node
        if not isinstance(node, list) or not node or not isinstance(node[0], str):
            raise BadValueError(f"not a value: {str(node)[:80]}")
        kind, *rest = node
        try:
            if kind == "int":
                return int(rest[0], 16)
            if kind == "float":
                return float(rest[0])
            if kind == "complex":
                return complex(float(rest[0]), float(rest[1]))
            if kind == "array":
                return array(*rest)
            if kind == "tensor":
                return Tensor(array(*rest))
            if kind == "scalar":
                return array(rest[0], [], rest[1])[()]
            if kind == "dtype":
                return dtype(rest[0])
            if kind == "generator":
                generator = np.random.default_rng(0)  # as the course makes them: PCG64
                generator.bit_generator.state = walk(rest[0], depth + 1)
                return generator
            if kind == "ellipsis":
                return Ellipsis
            if kind == "bytes":
                return blob(rest[0])
            if kind == "slice":
                return slice(*(walk(part, depth + 1) for part in rest))
            if kind in ("tuple", "list", "set", "frozenset", "range"):
                parts = [walk(part, depth + 1) for part in rest[0]]
                if "set" in kind and len(parts) > MAX_HASHED:
                    raise BadValueError(f"a set of {len(parts):,} elements")
                makers = {"tuple": tuple, "set": set, "frozenset": frozenset}
                return makers.get(kind, list)(parts)
            if kind == "dict":
                if len(rest[0]) > MAX_HASHED:
                    raise BadValueError(f"a dict of {len(rest[0]):,} keys")
                return {walk(key, depth + 1): walk(part, depth + 1) for key, part in rest[0]}
        except (TypeError, ValueError, IndexError, OverflowError, MemoryError) as error:
            raise BadValueError(f"a broken {kind}: {error}") from error
        return resolve(node)

    return walk(tree, 0)


def send(stream: socket.socket, message: dict[str, Any], blobs: list[bytes]) -> None:
    """Write one frame. Raises BadValueError if it is too large, OSError if nobody reads."""
    text = json.dumps({**message, "sizes": [len(blob) for blob in blobs]}).encode()
    size = sum(map(len, blobs))
    _refuse_large(len(text), size)
    stream.sendall(b"".join([HEAD.pack(len(text), size), text, *blobs]))


def receive(stream: socket.socket) -> tuple[dict[str, Any], list[bytes]]:
    """Read one frame; return its message and the bytes of its arrays.

    Raises EOFError if the other side is gone, TimeoutError if it is late (the stream's timeout
    counts for each piece), and BadValueError if what came is no frame.
    """
    text_size, size = HEAD.unpack(_exactly(stream, HEAD.size))
    _refuse_large(text_size, size)
    try:
        message = json.loads(_exactly(stream, text_size))
        sizes = message.pop("sizes")
        fits = all(type(s) is int and s >= 0 for s in sizes) and sum(sizes) == size
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadValueError(f"not a message: {error}") from error
    if not fits:
        raise BadValueError("the sizes of a message do not add up")
    return message, [_exactly(stream, s) for s in sizes]


def _refuse_large(text: int, arrays: int) -> None:
    """Raise BadValueError if a message has more bytes of text or of arrays than allowed."""
    for what, size, most in [("text", text, MAX_TEXT), ("arrays", arrays, MAX_FRAME)]:
        if size > most:
            raise BadValueError(f"a message with {size:,} bytes of {what}; {most:,} are allowed")


def _exactly(stream: socket.socket, size: int) -> bytes:
    """Return the next ``size`` bytes of the stream."""
    pieces = bytearray()
    while len(pieces) < size:
        piece = stream.recv(min(size - len(pieces), 2**20))
        if not piece:
            raise EOFError("the other side has gone")
        pieces += piece
    return bytes(pieces)


def write_back(before: Any, after: Any) -> Any:
    """Change ``before``, the arguments of a call, as the other side has changed its copies.

    Arrays, lists, dicts and generators are changed in place, however deep they lie; what cannot be
    changed is replaced. Returns what now stands in the place of ``before``.
    """
    if isinstance(before, np.ndarray) and isinstance(after, np.ndarray):
        if after.shape != before.shape or after.dtype != before.dtype:
            return after
        before[...] = after
        return before
    if isinstance(before, np.random.Generator) and isinstance(after, np.random.Generator):
        before.bit_generator.state = after.bit_generator.state
        return before
    if isinstance(before, list) and isinstance(after, list):
        both = zip(before, after, strict=False)
        before[:] = [*(write_back(o, n) for o, n in both), *after[len(before) :]]
        return before
    if isinstance(before, tuple) and isinstance(after, tuple) and len(before) == len(after):
        return tuple(write_back(o, n) for o, n in zip(before, after, strict=True))
    if isinstance(before, dict) and isinstance(after, dict):
        changed = {
            k: write_back(before[k], new) if k in before else new for k, new in after.items()
        }
        before.clear()
        before.update(changed)
        return before
    return before if callable(before) else after
