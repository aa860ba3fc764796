"""The inside of the wall: run a student's cells, and answer what the tests outside ask.

    python worker.py FD          serve one student's tests on the socket with the number FD
    python worker.py FD BYTES FOLDER ...
                                 import what takes long; then fork for each socket that comes in,
                                 with these folders in memory, of so many bytes each

Requests are answered with the token they came with. Whatever a student does to this process, the
tests are not in it: it can only give wrong values.
"""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import io
import os
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import values  # type: ignore[import-not-found]  # beside this file, behind the wall too

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


class Worker:
    """One student's namespace, and the objects of it that the tests outside hold on to."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.objects: list[Any] = []
        self.numbers: dict[int, int] = {}
        self.space: dict[str, Any] = {"__name__": "__main__"}
        self.transform: Callable[[str], str] | None = None

    # Values

    def refer(self, item: Any) -> list[Any]:
        """Keep ``item`` and return what tells the outside about it: number, kinds, own name."""
        number = self.numbers.get(id(item))
        if number is None:
            number = self.numbers[id(item)] = len(self.objects)
            self.objects.append(item)
        kinds = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(item).__mro__]
        own = f"{item.__module__}.{item.__qualname__}" if inspect.isclass(item) else ""
        return ["object", number, kinds, own]

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
            tree, blobs = values.dump(given, self.refer)
            values.send(self.stream, {"callback": number, "value": tree}, blobs)
            result, *after = self.serve(until="returned")
            values.write_back(given, after)
            return result

        return call

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
                reply["value"], blobs = values.dump(result, self.refer)
            except BaseException as error:
                kinds = [kind.__name__ for kind in type(error).__mro__]
                reply["error"] = [kinds, _text(error)]
            values.send(self.stream, reply, blobs)

    def on_run(self, source: str, name: str) -> dict[str, Any]:
        """Run a cell; return what it printed, and its error as [kind, message, traceback]."""
        printed, error = Limited(), None
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                source = self.plain(source)
                exec(compile(source, f"<{name}>", "exec"), self.space)
            except BaseException as raised:
                lines = traceback.format_exception_only(raised)
                where = [f.lineno for f in traceback.extract_tb(raised.__traceback__)]
                at = f"line {where[1]} of the cell: " if len(where) > 1 else ""
                error = [type(raised).__name__, _text(raised), at + "".join(lines)[-MESSAGE:]]
        return {"printed": printed.text(), "error": error}

    def plain(self, source: str) -> str:
        """Return a cell's source with IPython's magics turned into Python."""
        if not any(line.lstrip()[:1] in ("%", "!", "?") for line in source.splitlines()):
            return source
        from IPython.core.interactiveshell import InteractiveShell

        shell = InteractiveShell.instance(user_ns=self.space)
        return str(shell.transform_cell(source))

    def on_get(self, name: str) -> list[Any]:
        """Return [value] of a name of the student's notebook, or [] if there is none."""
        return [self.space[name]] if name in self.space else []

    def on_call(self, function: Any, positions: Any, keywords: Any) -> list[Any]:
        """Call an object; return its result, and the arguments as they are afterwards."""
        with contextlib.redirect_stdout(Limited()), contextlib.redirect_stderr(Limited()):
            result = function(*positions, **keywords)
        return [result, positions, keywords]

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

    def on_list(self, item: Any) -> list[Any]:
        """Return the elements of an object."""
        return list(item)

    def on_array(self, item: Any) -> Any:
        """Return an object as an array."""
        import numpy

        return numpy.asarray(item)

    def on_truth(self, item: Any) -> bool:
        """Return whether an object counts as true."""
        return bool(item)

    def on_text(self, item: Any) -> str:
        """Return an object as text."""
        return str(item)[:MESSAGE]


def _text(error: BaseException) -> str:
    try:
        return str(error)[:MESSAGE]
    except BaseException:
        return "an error whose message cannot be shown"


def main(stream: socket.socket) -> None:
    """Serve the socket until the outside closes it."""
    with contextlib.suppress(EOFError, OSError):
        Worker(stream).serve()


# Forking: Keras is imported once, and each student gets a copy of the process behind a second
# wall. It is a fresh user, process, network and file namespace, in which the first process has
# number 1 and sees none but its own; when that one dies, all of them do.

NEW_NAMESPACES = 0x10000000 | 0x20000000 | 0x00020000 | 0x40000000 | 0x08000000
LIBC = ctypes.CDLL(None, use_errno=True)


def fork_for_each(control: socket.socket, disk: int, folders: list[str]) -> None:
    """Fork for each socket that comes through ``control``; answer with the process's number."""
    import keras  # type: ignore[import-untyped]  # noqa: F401 - what follows has it for nothing
    import numpy  # noqa: F401

    control.sendall(b"ready   ")
    while True:
        word, files, *_ = socket.recv_fds(control, 1, 1)
        if not word or not files:
            return
        control.sendall(f"{_enclosed(files[0], control, disk, folders):8}".encode())
        os.close(files[0])


def _enclosed(file: int, control: socket.socket, disk: int, folders: list[str]) -> int:
    """Fork a process in namespaces of its own that serves ``file``; return its number."""
    read, write = os.pipe()
    middle = os.fork()
    if middle:
        os.close(write)
        os.waitpid(middle, 0)
        answer = os.read(read, 20)
        os.close(read)
        return int(answer or b"0")
    try:
        user, group = os.getuid(), os.getgid()
        control.close()
        os.close(read)
        _call(LIBC.unshare(NEW_NAMESPACES))
        for name, text in [
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ]:
            with open(f"/proc/self/{name}", "w") as target:
                target.write(text)
        first = os.fork()
        if first:
            os.write(write, str(first).encode())
            os._exit(0)
        os.close(write)
        os.setsid()  # else a signal to the group would reach the process that forked
        for folder, size in [*((folder, disk) for folder in folders), ("/proc", 65536)]:
            options = f"size={size},mode=1777".encode()
            _call(LIBC.mount(b"tmpfs", folder.encode(), b"tmpfs", 6, options))
        os.mkdir("/proc/self")  # TensorFlow asks /proc for the program, and for its arguments
        os.symlink(sys.executable, "/proc/self/exe")
        with open("/proc/self/cmdline", "w") as target:
            target.write(f"{sys.executable}\0")
        os.chdir(folders[0])
        main(socket.socket(fileno=file))
    finally:
        os._exit(1)


def _call(result: int) -> None:
    """Raise OSError if a call of the C library has failed."""
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    given = socket.socket(fileno=int(sys.argv[1]))
    if len(sys.argv) > 2:
        fork_for_each(given, int(sys.argv[2]), sys.argv[3:])
    else:
        main(given)
