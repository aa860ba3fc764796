"""The outside of the wall: a student's functions and objects, as the tests see them.

The tests of an exercise run here, in the grader's own process, as they stand in the master. Names
that the student defined are stand-ins: a call of one sends the arguments in, and what comes back
is plain data and arrays, or a stand-in for an object that stays inside.
"""

from __future__ import annotations

import builtins
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from tools.grading import values
from tools.grading.wall import Sandbox


class StudentError(Exception):
    """What a student's code raised, where Python has no error of that name."""


class Ended(BaseException):
    """The sandbox is gone. Not an Exception: no test may catch it by accident."""

    def __init__(self, status: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Late(Ended):
    """A test took too long out here."""

    def __init__(self) -> None:
        super().__init__("over time", "over time: a test did not come to an end")


class Session:
    """A student's process behind the wall, and the stand-ins for what is in it."""

    def __init__(self, sandbox: Sandbox, deadline: float) -> None:
        self.sandbox, self.limits = sandbox, sandbox.limits
        self.deadline = deadline
        self.kinds: dict[tuple[str, ...], type[StandIn]] = {}
        self.stand_ins: dict[int, StandIn] = {}
        self.callbacks: dict[int, Any] = {}
        self.until = deadline
        self.reason = ""
        self.watch = threading.Thread(target=self._watch, daemon=True)
        self.open = True
        self.watch.start()

    def close(self) -> None:
        """End the student's process."""
        self.open = False
        self.watch.join()
        self.sandbox.kill()

    def allow(self, seconds: float) -> None:
        """From now on the student's process may run for so long, and no longer."""
        self.until = min(time.monotonic() + seconds, self.deadline)

    def _watch(self) -> None:
        """Kill the process when it is over its time or its memory."""
        while self.open:
            now = time.monotonic()
            if now > self.until:
                whole = self.until >= self.deadline
                seconds = self.limits.notebook if whole else self.limits.call
                self.reason = f"over time: stopped after {seconds:.0f} seconds"
            elif self.sandbox.memory() > self.limits.memory:
                self.reason = f"over memory: more than {self.limits.memory // 2**20:,} MiB"
            if self.reason:
                self.sandbox.kill_processes()
                return
            time.sleep(0.05)

    # Requests

    def ask(self, what: str, *given: Any) -> Any:
        """Send a request and return its answer; raise what the student's code raised.

        Raises Ended if the process is over a limit, has gone, or does not keep to the format.
        """
        token = secrets.token_hex(8)
        try:
            tree, blobs = values.dump(list(given), self._refer)
            self._send({"ask": what, "token": token, "value": tree}, blobs)
            message, blobs = values.receive(self.sandbox.stream)
            while "callback" in message:
                self._answer(message, blobs)
                message, blobs = values.receive(self.sandbox.stream)
            if message.get("token") != token:
                raise values.BadValueError("an answer to another question")
            found = values.load(message.get("value"), blobs, self._resolve)
        except values.BadValueError as error:
            raise Ended("tampered", f"what came back is not in the format: {error}") from error
        except (OSError, EOFError) as error:
            self.watch.join(0.2)
            status = self.reason.split(":")[0] or "crashed"
            sentence = self.reason or "the notebook's process ended in the middle of its work"
            raise Ended(status, sentence) from error
        if "error" in message:  # the student's code raised; it may well be an OSError, too
            self._raise(message["error"])
        return found

    def _send(self, message: dict[str, Any], blobs: list[bytes]) -> None:
        values.send(self.sandbox.stream, message, blobs)

    def _answer(self, message: dict[str, Any], blobs: list[bytes]) -> None:
        """Call the function of the tests that the student's code has called."""
        function = self.callbacks.get(message["callback"])
        if function is None:
            raise values.BadValueError("a call of a function that was never handed in")
        positions, keywords = values.load(message.get("value"), blobs, self._resolve)
        what = "returned"
        result: Any = None
        try:
            result = [function(*positions, **keywords), positions, keywords]
        except Exception as error:
            what, result = "raised", f"{type(error).__name__}: {error}"
        tree, blobs = values.dump(result, self._refer)
        self._send({"ask": what, "token": "", "value": tree}, blobs)

    def _raise(self, error: Any) -> None:
        """Raise the nearest error of Python's own to one that the student's code raised."""
        kinds, text = error if isinstance(error, list) and len(error) == 2 else (None, "an error")
        for kind in kinds if isinstance(kinds, list) else []:
            known = getattr(builtins, str(kind), None)
            if isinstance(known, type) and issubclass(known, Exception) and known is not Exception:
                raise known(str(text))
        raise StudentError(f"{kinds[0] if kinds else 'error'}: {text}")

    # References

    def _refer(self, item: Any) -> list[Any]:
        if isinstance(item, StandIn):
            return ["object", item._number]
        if callable(item):
            self.callbacks[id(item)] = item
            return ["callback", id(item)]
        raise TypeError(f"the tests cannot hand in a {type(item).__name__}")

    def _resolve(self, node: list[Any]) -> Any:
        if len(node) != 4 or node[0] != "object" or type(node[1]) is not int:
            raise values.BadValueError(f"unknown reference {str(node)[:80]}")
        _, number, kinds, own = node
        if not isinstance(kinds, list) or not kinds or len(kinds) > 100:
            raise values.BadValueError("an object without kinds")
        if number not in self.stand_ins:
            names = tuple(str(kind)[:200] for kind in kinds)
            if names not in self.kinds:
                short = names[0].rpartition(".")[2]
                self.kinds[names] = type(short, (StandIn,), {"_names": names})
            self.stand_ins[number] = self.kinds[names](self, number, str(own)[:200])
        return self.stand_ins[number]


class StandIn:
    """An object inside the wall. What one asks of it is asked there, and answered by value."""

    _names: tuple[str, ...] = ()

    def __init__(self, session: Session, number: int, own: str) -> None:
        vars(self).update(_session=session, _number=number, _own=own)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__name__", "__qualname__", "__doc__"):
            raise AttributeError(name)
        return self._session.ask("attribute", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._session.ask("set", self, name, value)

    def __call__(self, *positions: Any, **keywords: Any) -> Any:
        """Call the object inside; change the arguments as the student's code changed them."""
        given = [list(positions), keywords]
        result, *after = self._session.ask("call", self, *given)
        values.write_back(given, after)
        return result

    def __instancecheck__(self, item: Any) -> bool:
        return isinstance(item, StandIn) and self._own in item._names

    def __getitem__(self, key: Any) -> Any:
        return self._session.ask("item", self, key)

    def __len__(self) -> int:
        return int(self._session.ask("length", self))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._session.ask("list", self))

    def __bool__(self) -> bool:
        return bool(self._session.ask("truth", self))

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        found = self._session.ask("array", self)
        if not isinstance(found, np.ndarray | np.generic):
            raise TypeError(f"a {type(self).__name__} is not an array of numbers")
        return np.asarray(found, dtype=dtype)

    def __str__(self) -> str:
        return str(self._session.ask("text", self))

    __repr__ = __str__
