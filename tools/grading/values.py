"""Values that cross the wall: plain data and arrays as bytes. Nothing is ever unpickled.

A frame is a length, a JSON text and the raw bytes of the arrays in it. Both sides use this
module; the one outside trusts nothing it reads, so every check here raises, none is an assert.
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

MAX_FRAME = 256 * 2**20  # bytes; the largest array of the course's checks has 7 MB
MAX_DEPTH = 40
MAX_ITEMS = 2_000_000  # values in one frame, arrays counting as one
ARRAY_KINDS = "biufc"  # booleans and numbers; NumPy's objects and strings stay outside
HEAD = struct.Struct("!IQ")  # lengths of the JSON text and of the bytes after it


class BadValueError(ValueError):
    """What came through the wall is not in the format, or larger than allowed."""


def dump(value: Any, refer: Callable[[Any], list[Any]]) -> tuple[Any, list[bytes]]:
    """Return ``value`` as a JSON tree and the list of array bytes that the tree points to.

    ``refer`` returns the tree for an object that does not cross, or raises BadValueError.
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
        if type(item) is int:
            return item if abs(item) < 2**53 else ["int", hex(item)]
        if type(item) is float:
            return item if math.isfinite(item) else ["float", repr(item)]
        if isinstance(item, np.ndarray) and item.dtype.kind in ARRAY_KINDS:
            array = np.ascontiguousarray(item).reshape(item.shape)
            blobs.append(array.tobytes())
            return ["array", array.dtype.str, list(array.shape), len(blobs) - 1]
        if isinstance(item, np.generic) and item.dtype.kind in ARRAY_KINDS:
            blobs.append(item.tobytes())
            return ["scalar", item.dtype.str, len(blobs) - 1]
        if isinstance(item, np.dtype) and item.kind in ARRAY_KINDS:
            return ["dtype", item.str]
        if isinstance(item, np.random.Generator):
            return ["generator", walk(item.bit_generator.state, depth + 1)]
        if isinstance(item, complex):
            return ["complex", repr(item.real), repr(item.imag)]
        if isinstance(item, slice):
            return [
                "slice",
                *(walk(part, depth + 1) for part in (item.start, item.stop, item.step)),
            ]
        if item is Ellipsis:
            return ["ellipsis"]
        if isinstance(item, bytes):
            blobs.append(item)
            return ["bytes", len(blobs) - 1]
        for kind in (tuple, list, set, frozenset, range):
            if isinstance(item, kind):
                return [kind.__name__, [walk(part, depth + 1) for part in item]]
        if isinstance(item, dict):
            pairs = item.items()
            return ["dict", [[walk(key, depth + 1), walk(part, depth + 1)] for key, part in pairs]]
        return refer(item)

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
                makers = {"tuple": tuple, "set": set, "frozenset": frozenset}
                return makers.get(kind, list)(parts)
            if kind == "dict":
                return {walk(key, depth + 1): walk(part, depth + 1) for key, part in rest[0]}
        except (TypeError, ValueError, IndexError, OverflowError, MemoryError) as error:
            raise BadValueError(f"a broken {kind}: {error}") from error
        return resolve(node)

    return walk(tree, 0)


def send(stream: socket.socket, message: dict[str, Any], blobs: list[bytes]) -> None:
    """Write one frame. Raises BadValueError if it is too large, OSError if nobody reads."""
    text = json.dumps({**message, "sizes": [len(blob) for blob in blobs]}).encode()
    size = sum(map(len, blobs))
    if len(text) + size > MAX_FRAME:
        raise BadValueError(f"a message of {len(text) + size:,} bytes; {MAX_FRAME:,} are allowed")
    stream.sendall(b"".join([HEAD.pack(len(text), size), text, *blobs]))


def receive(stream: socket.socket) -> tuple[dict[str, Any], list[bytes]]:
    """Read one frame; return its message and the bytes of its arrays.

    Raises EOFError if the other side is gone, TimeoutError if it is late (the stream's timeout
    counts for each piece), and BadValueError if what came is no frame.
    """
    text_size, size = HEAD.unpack(_exactly(stream, HEAD.size))
    if text_size + size > MAX_FRAME:
        raise BadValueError(f"a message of {text_size + size:,} bytes; {MAX_FRAME:,} are allowed")
    try:
        message = json.loads(_exactly(stream, text_size))
        sizes = message.pop("sizes")
        fits = all(type(s) is int and s >= 0 for s in sizes) and sum(sizes) == size
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadValueError(f"not a message: {error}") from error
    if not fits:
        raise BadValueError("the sizes of a message do not add up")
    return message, [_exactly(stream, s) for s in sizes]


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
