"""The inside of the wall: run a notebook's cells, and answer what the tests outside ask.

Two kinds of process do this. In a student's one the cells of the submission run. In a clean one
nothing of a student's ever runs: it holds the Keras of the tests, and the networks that students
made, built again from their configuration and weights (parcels.py). Whatever a student does to the
first, the tests are in neither: it can only give wrong values.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

import IPython.core.interactiveshell
import keras
from traitlets.config import Config

from tools.grading import parcels, values

OUTPUT = 20_000  # characters of printed output that are kept for a cell
MESSAGE = 2_000  # characters of an error message that are passed on


class Limited(io.TextIOBase):
    """A text stream that keeps the beginning of what is written to it, and drops the rest."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.left = OUTPUT

    def write(self, text: str) -> int:
        """Take a text, and keep of it what there is room for."""
        if self.left > 0:
            self.kept.append(text[: self.left])
            self.left -= len(text)
            if self.left <= 0:
                self.kept.append("\n... (more was printed, and dropped)\n")
        return len(text)

    def writable(self) -> bool:
        """Return that one may write."""
        return True

    def text(self) -> str:
        """Return what was kept."""
        return "".join(self.kept)


def shell() -> Any:
    """Return an IPython shell without history, colours or files: cells run as in a notebook."""
    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.colors = "NoColor"
    settings.InteractiveShell.xmode = "Minimal"
    made = IPython.core.interactiveshell.InteractiveShell.instance(config=settings)
    made.showtraceback = lambda *given, **named: None  # the error is told by its result
    made.enable_gui = lambda gui=None: None  # %matplotlib needs no window here
    made.showsyntaxerror = lambda *given, **named: None
    return made


class Worker:
    """A namespace in which cells run, and the objects of it that the tests outside hold on to."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.objects: list[Any] = []
        self.numbers: dict[int, int] = {}
        self.shell = shell()

    @property
    def space(self) -> dict[str, Any]:
        """The names of the notebook."""
        found: dict[str, Any] = self.shell.user_ns
        return found

    # Values

    def number(self, item: Any) -> int:
        """Keep ``item`` and return its number."""
        found = self.numbers.get(id(item))
        if found is None:
            found = self.numbers[id(item)] = len(self.objects)
            self.objects.append(item)
        return found

    def refer(self, item: Any) -> list[Any]:
        """Keep ``item`` and return what tells the outside about it: number, kinds, own name."""
        return ["object", *self._told(item)]

    def refer_to_keras(self, item: Any) -> list[Any] | None:
        """Do the same for a layer, network or symbolic tensor; return None for anything else."""
        return ["keras", *self._told(item)] if parcels.is_keras(item) else None

    def _told(self, item: Any) -> list[Any]:
        kinds = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(item).__mro__]
        named = inspect.isclass(item) or inspect.isfunction(item)
        return [self.number(item), kinds, f"{item.__module__}.{item.__qualname__}" if named else ""]

    def resolve(self, node: list[Any]) -> Any:
        """Return the object that the outside names, or a function that calls the outside."""
        if node[0] == "object":
            return self.objects[node[1]]
        if node[0] == "callback":
            return self.callback(node[1])
        raise values.BadValueError(f"unknown reference {node[0]!r}")

    def callback(self, number: int) -> Callable[..., Any]:
        """Return a function that asks the outside for its result."""

        def call(*positions: Any, **keywords: Any) -> Any:
            given = [list(positions), keywords]
            tree, blobs = self.dump(given)
            values.send(self.stream, {"callback": number, "value": tree}, blobs)
            result, *after = self.serve(until="returned")
            values.write_back(given, after)
            return result

        return call

    def dump(self, item: Any) -> tuple[Any, list[bytes]]:
        """Return a value as it crosses."""
        return values.dump(item, self.refer, self.refer_to_keras)

    # Requests

    def serve(self, until: str = "") -> Any:
        """Answer requests; return the value of the request called ``until``."""
        while True:
            message, blobs = values.receive(self.stream)
            given = values.load(message["value"], blobs, self.resolve)
            if message["ask"] == until:
                return given
            if message["ask"] == "raised":
                raise RuntimeError(given)
            reply: dict[str, Any] = {"token": message["token"]}
            blobs = []
            try:
                result = getattr(self, "on_" + message["ask"])(*given)
                reply["value"], blobs = self.dump(result)
            except BaseException as error:
                kinds = [kind.__name__ for kind in type(error).__mro__]
                reply["error"] = [kinds, _text(error)]
            values.send(self.stream, reply, blobs)

    def on_run(self, source: str, name: str) -> dict[str, Any]:
        """Run a cell; return what it printed, and its error as [kind, message, where and what]."""
        printed, told = Limited(), None
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            done = self.shell.run_cell(source)
        error = done.error_before_exec or done.error_in_exec
        if error is not None:
            lines = "".join(traceback.format_exception_only(error))[-MESSAGE:]
            told = [type(error).__name__, _text(error), _place(error) + lines]
        return {"printed": printed.text(), "error": told}

    def on_get(self, name: str) -> list[Any]:
        """Return [value] of a name of the notebook, or [] if there is none."""
        space = self.space
        return [space[name]] if name in space else []

    def on_call(self, function: Any, positions: Any, keywords: Any) -> list[Any]:
        """Call an object; return its result, and the arguments as they are afterwards."""
        with contextlib.redirect_stdout(Limited()), contextlib.redirect_stderr(Limited()):
            result = function(*positions, **keywords)
        return [result, positions, keywords]

    def on_list(self, item: Any) -> list[Any]:
        """Return the elements of an object, which may be an endless generator, up to a limit."""
        found = []
        for element in item:
            found.append(element)
            if len(found) > values.MAX_ITEMS:
                raise ValueError(f"it has more than {values.MAX_ITEMS:,} elements")
        return found

    def on_seed(self, seed: int) -> None:
        """Set the seed of everything that draws."""
        keras.utils.set_random_seed(seed)

    # What only the clean process is asked

    def on_attribute(self, item: Any, name: str) -> Any:
        """Return an attribute of an object."""
        return getattr(item, name)

    def on_set(self, item: Any, name: str, value: Any) -> None:
        """Set an attribute of an object."""
        setattr(item, name, value)

    def on_item(self, item: Any, key: Any) -> Any:
        """Return what an object has at a key."""
        return item[key]

    def on_length(self, item: Any) -> int:
        """Return the length of an object."""
        return int(len(item))

    def on_truth(self, item: Any) -> bool:
        """Return whether an object counts as true."""
        return bool(item)

    def on_text(self, item: Any) -> str:
        """Return an object as text."""
        return str(item)[:MESSAGE]

    # Networks that go from one process to the other

    def on_pack(self, item: Any, linked: dict[int, int]) -> dict[str, Any]:
        """Return a Keras object as plain data; ``linked`` has the other side's numbers of ours."""
        return parcels.pack(item, {id(self.objects[n]): there for n, there in linked.items()})

    def on_unpack(self, parcel: dict[str, Any]) -> list[int]:
        """Build a Keras object from a parcel; return its number."""
        return [self.number(parcels.unpack(parcel, self.objects))]

    def on_same(self, number: int) -> Any:
        """Return an object by its number."""
        return self.objects[number]

    def on_state(self, item: Any) -> dict[str, Any]:
        """Return what may change in a Keras object: its design in short, weights, trainable."""
        return parcels.state(item)

    def on_load_state(self, item: Any, state: dict[str, Any]) -> None:
        """Give a Keras object the weights of its counterpart, and what of it is trained."""
        parcels.load_state(item, state)


def _place(error: BaseException) -> str:
    """Return which line of the cell an error came from, as the beginning of a sentence."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [
        f.lineno for f in frames if "ipython-input" in f.filename or "/ipykernel_" in f.filename
    ]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    return f"line {lines[0]} of the cell: " if lines and lines[0] else ""


def _text(error: BaseException) -> str:
    try:
        return str(error)[:MESSAGE]
    except BaseException:
        return "an error whose message cannot be shown"


def main(stream: socket.socket) -> None:
    """Serve the socket until the outside closes it."""
    sys.stdout, sys.stderr = Limited(), Limited()
    with contextlib.suppress(EOFError, OSError):
        Worker(stream).serve()
