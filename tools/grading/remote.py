"""What a test sees of a student's work: plain values, sealed functions, and networks built again.

Three processes take part. The tests are in this one. The student's cells ran in another; what it
answers is taken by value, and an object that is no value is sealed: a test may call it or go
through it, and ask it nothing. A layer or network of Keras's is sent as configuration and weights
to a clean third process and asked there; the Keras of the tests is that process's, too.
"""

from __future__ import annotations

import builtins
import secrets
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tools.grading import values

# Methods after which a network is no longer as it was.
CHANGING = {"set_weights", "build", "fit", "train_on_batch", "load_weights", "assign", "compile"}
SEED = "keras.src.utils.rng_utils.set_random_seed"


class StudentError(Exception):
    """What a student's code raised, where Python has no error of that name."""


class Ended(BaseException):
    """A process is gone. Not an Exception: no test may catch it by accident."""

    def __init__(self, status: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Session:
    """The way to one process: ask it something, and get the answer by value."""

    def __init__(self, stream: socket.socket, room: Room) -> None:
        self.stream, self.room = stream, room
        self.callbacks: dict[int, Any] = {}

    def ask(self, what: str, *given: Any) -> Any:
        """Send a request and return its answer; raise what the code there raised.

        Raises Ended if the process has gone or does not keep to the format.
        """
        token = secrets.token_hex(8)
        try:
            tree, blobs = values.dump(list(given), self.refer, self.keep)
            values.send(self.stream, {"ask": what, "token": token, "value": tree}, blobs)
            message, blobs = values.receive(self.stream)
            while "callback" in message:
                self._answer(message, blobs)
                message, blobs = values.receive(self.stream)
            if message.get("token") != token:
                raise values.BadValueError("an answer to another question")
            found = values.load(message.get("value"), blobs, self.resolve)
        except values.BadValueError as error:
            raise Ended("tampered", f"what came back is not in the format: {error}") from error
        except (OSError, EOFError) as error:
            sentence = "the notebook's process ended in the middle of its work"
            raise Ended("crashed", sentence) from error
        if "error" in message:  # the code there raised; it may well be an OSError, too
            _raise(message["error"])
        return found

    def _answer(self, message: dict[str, Any], blobs: list[bytes]) -> None:
        """Call the function of the tests that the student's code has called."""
        function = self.callbacks.get(message["callback"])
        if function is None:
            raise values.BadValueError("a call of a function that was never handed in")
        given = values.load(message.get("value"), blobs, self.resolve)
        if not isinstance(given, list) or len(given) != 2:
            raise values.BadValueError("a call without arguments")
        positions, keywords = given
        what = "returned"
        result: Any = None
        try:
            result = [function(*positions, **keywords), positions, keywords]
        except Exception as error:
            what, result = "raised", f"{type(error).__name__}: {error}"
        tree, blobs = values.dump(result, self.refer, self.keep)
        values.send(self.stream, {"ask": what, "token": "", "value": tree}, blobs)

    def keep(self, item: Any) -> list[Any] | None:
        """Return the reference to a stand-in, and None for anything else."""
        return self.refer(item) if isinstance(item, StandIn | Sealed) else None

    def refer(self, item: Any) -> list[Any]:
        """Return the reference to what does not cross by value."""
        number = self.number_of(item)
        if number is not None:
            return ["object", number]
        if callable(item) and not isinstance(item, StandIn | Sealed):
            self.callbacks[id(item)] = item
            return ["callback", id(item)]
        raise TypeError(f"the tests cannot hand in a {type(item).__name__}")

    def number_of(self, item: Any) -> int | None:
        """Return the number that the process knows an object by, if it knows it."""
        raise NotImplementedError

    def resolve(self, node: list[Any]) -> Any:
        """Return what stands for an object of the process."""
        raise NotImplementedError


def _told(node: list[Any]) -> tuple[int, tuple[str, ...], str]:
    """Return number, kinds and own name of a reference; raise BadValueError if it is none."""
    if len(node) != 4 or node[0] not in ("object", "keras") or type(node[1]) is not int:
        raise values.BadValueError(f"unknown reference {str(node)[:80]}")
    _, number, kinds, own = node
    if not isinstance(kinds, list) or not 0 < len(kinds) <= 100:
        raise values.BadValueError("an object without kinds")
    return number, tuple(values.clean(kind, 200) for kind in kinds), values.clean(own, 200)


def _raise(error: Any) -> None:
    """Raise the nearest error of Python's own to one that a student's code raised."""
    kinds, text = error if isinstance(error, list) and len(error) == 2 else (None, "an error")
    kinds = kinds if isinstance(kinds, list) else []
    text = values.clean(text, 2_000)
    raised: Exception = StudentError(f"{values.clean(kinds[0], 80) if kinds else 'error'}: {text}")
    for kind in kinds:
        known = getattr(builtins, kind, None) if isinstance(kind, str) else None
        if isinstance(known, type) and issubclass(known, Exception) and known is not Exception:
            try:
                raised = known(text)
            except Exception:  # an error that wants more than a text, such as UnicodeDecodeError
                continue
            break
    raised.of_student = True  # type: ignore[attr-defined]  # see judge.failure
    raise raised


# The student's process


class Student(Session):
    """The process in which the student's cells ran."""

    def ask(self, what: str, *given: Any) -> Any:
        """Send a request; before and after code of the student's runs, networks are compared."""
        runs = what in ("run", "call", "list")
        if runs:
            self.room.tell_student()
        try:
            return super().ask(what, *given)
        finally:
            if runs:
                self.room.version += 1

    def number_of(self, item: Any) -> int | None:
        """Return the student's number of an object; a network of the tests is sent first."""
        if isinstance(item, StandIn):
            return self.room.to_student(item)
        return item._number if isinstance(item, Sealed) else None

    def resolve(self, node: list[Any]) -> Any:
        """Return a network built again for one of Keras's, and a sealed object for others."""
        number, kinds, _ = _told(node)
        if node[0] == "keras":
            return self.room.mirror(number)
        return Sealed.of(self, number, kinds)


class Sealed:
    """A student's function or object. A test may call it or go through it; it tells nothing."""

    def __init__(self, session: Student, number: int) -> None:
        vars(self).update(_session=session, _number=number, _elements=None)

    @classmethod
    def of(cls, session: Student, number: int, kinds: tuple[str, ...]) -> Sealed:
        """Return a sealed object whose type has the name of the student's, for messages."""
        name = "".join(c for c in kinds[0].rpartition(".")[2] if c.isalnum() or c == "_")[:60]
        made: Sealed = type(name or "object", (cls,), {})(session, number)
        return made

    def __call__(self, *positions: Any, **keywords: Any) -> Any:
        """Call the object; change the arguments as the student's code changed them."""
        given = [list(positions), keywords]
        result, *after = _three(self._session.ask("call", self, *given))
        values.write_back(given, after)
        return result

    def __iter__(self) -> Iterator[Any]:
        if self._elements is None:
            vars(self)["_elements"] = self._session.ask("list", self)
        return iter(self._elements)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"a {type(self).__name__} is neither numbers nor an object of Keras's: it has no {name}"
        )

    def __repr__(self) -> str:
        return f"an object of the type {type(self).__name__}"


def _three(found: Any) -> list[Any]:
    """Return the answer to a call; raise Ended if it is not one."""
    if not isinstance(found, list) or len(found) != 3:
        raise Ended("tampered", "what came back is not in the format: a call without a result")
    return found


# The clean process


class Clean(Session):
    """The process with the Keras of the tests, in which no code of a student's runs."""

    def __init__(self, stream: socket.socket, room: Room) -> None:
        super().__init__(stream, room)
        self.kinds: dict[tuple[str, ...], type[StandIn]] = {}
        self.stand_ins: dict[int, StandIn] = {}
        self.path: tuple[Link | None, str] = None, ""  # of the object that is being asked

    def number_of(self, item: Any) -> int | None:
        """Return the number of a stand-in; a student's object is not let in."""
        return item._number if isinstance(item, StandIn) else None

    def resolve(self, node: list[Any]) -> Any:
        """Return the stand-in for an object, always the same for the same object."""
        number, names, own = _told(node)
        if number not in self.stand_ins:
            if names not in self.kinds:
                short = names[0].rpartition(".")[2]
                self.kinds[names] = type(short, (StandIn,), {"_names": names})
            self.stand_ins[number] = self.kinds[names](self, number, own, *self.path)
        return self.stand_ins[number]

    def about(self, item: StandIn, what: str, *given: Any, name: str = "") -> Any:
        """Ask about an object; what comes back belongs to the same network as it."""
        if item._link:
            self.room.renew(item._link)
        self.path = item._link, name
        try:
            return self.ask(what, item, *given)
        finally:
            self.path = None, ""


class StandIn:
    """An object of the clean process. What one asks of it is asked there."""

    _names: tuple[str, ...] = ()

    def __init__(self, session: Clean, number: int, own: str, link: Link | None, name: str) -> None:
        vars(self).update(_session=session, _number=number, _own=own, _link=link, _name=name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__name__", "__qualname__", "__doc__"):
            raise AttributeError(name)
        return self._session.about(self, "attribute", name, name=name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._session.about(self, "set", name, value)
        self._changed()

    def __call__(self, *positions: Any, **keywords: Any) -> Any:
        """Call the object; change the arguments as it changed them."""
        given = [list(positions), keywords]
        result, *after = self._session.about(self, "call", *given)
        values.write_back(given, after)
        if self._name in CHANGING:
            self._changed()
        if self._own == SEED:
            self._session.room.student.ask("seed", *positions)
        return result

    def _changed(self) -> None:
        """Remember that the student's own network is no longer like this one."""
        if self._link:
            self._link.changed = True

    def __instancecheck__(self, item: Any) -> bool:
        return isinstance(item, StandIn) and self._own in item._names

    def __getitem__(self, key: Any) -> Any:
        return self._session.about(self, "item", key)

    def __len__(self) -> int:
        return int(self._session.about(self, "length"))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._session.about(self, "list"))

    def __bool__(self) -> bool:
        return bool(self._session.about(self, "truth"))

    def __str__(self) -> str:
        return str(self._session.about(self, "text"))

    __repr__ = __str__


# Both


@dataclass
class Link:
    """One network in both processes: its numbers there, and how far they are alike."""

    theirs: int  # the number in the student's process
    ours: StandIn
    design: str  # of the student's, as a hash
    version: int  # of the student's process when they were last compared
    changed: bool = False  # the tests have changed ours since


class Room:
    """The two processes of one submission, and the networks that are in both."""

    def __init__(self, fetch: Callable[[str], socket.socket], cells: list[list[str]]) -> None:
        """``fetch`` returns the way to a new process; ``cells`` are run in the clean one."""
        self.fetch, self.cells = fetch, cells
        self.version = 0  # grows whenever code of the student's has run
        self.links: list[Link] = []
        self._clean: Clean | None = None
        self.student = Student(fetch("worker"), self)

    @property
    def clean(self) -> Clean:
        """The clean process; it is started when it is first needed."""
        if self._clean is None:
            self._clean = Clean(self.fetch("clean"), self)
            for name, source in self.cells:
                told = self._clean.ask("run", source, name)
                if told["error"]:
                    raise RuntimeError(f"the cell {name} of the exercise fails: {told['error']}")
        return self._clean

    def mirror(self, theirs: int) -> StandIn:
        """Return our counterpart of the student's network with this number."""
        for link in self.links:
            if link.theirs == theirs:
                return link.ours
        item = Sealed(self.student, theirs)
        numbers = {link.theirs: link.ours._number for link in self.links}
        parcel = self._parcel(item, numbers)
        ours = self._unpacked(parcel)
        self._link(theirs, ours, parcel)
        return ours

    def _unpacked(self, parcel: dict[str, Any]) -> StandIn:
        """Return a network that the clean process has built from a student's parcel."""
        try:
            (number,) = self.clean.ask("unpack", parcel)
        except Exception as error:
            raise StudentError(f"a network that cannot be built again: {error}") from error
        found: StandIn = self.clean.ask("same", number)
        return found

    def _parcel(self, item: Sealed, numbers: dict[int, int]) -> dict[str, Any]:
        """Return a student's network as plain data; it may name no other objects of ours."""
        parcel = self.student.ask("pack", item, numbers)
        try:
            named = [*parcel.get("linked", {}).values(), *parcel.get("inputs", [])]
            if set(named) <= set(numbers.values()) and isinstance(parcel.get("state", {}), dict):
                return dict(parcel)
        except (AttributeError, TypeError):
            pass
        raise Ended("tampered", "what came back is not in the format: no network")

    def _link(self, theirs: int, ours: StandIn, parcel: dict[str, Any]) -> Link:
        design = str(parcel.get("state", {}).get("design", ""))
        link = Link(theirs, ours, design, self.version)
        vars(ours)["_link"] = link
        self.links.append(link)
        return link

    def to_student(self, ours: StandIn) -> int:
        """Return the student's number of one of our networks, which is sent if it is new there."""
        for link in self.links:
            if link.ours is ours:
                return link.theirs
        numbers = {link.ours._number: link.theirs for link in self.links}
        parcel = self.clean.ask("pack", ours, numbers)
        (theirs,) = self.student.ask("unpack", parcel)
        if type(theirs) is not int:
            raise Ended("tampered", "what came back is not in the format: no number")
        return self._link(theirs, ours, parcel).theirs

    def tell_student(self, but: Link | None = None) -> None:
        """Give the student's networks what the tests have changed in ours."""
        for link in self.links:
            if link.changed and link is not but:
                link.changed = False
                state = self.clean.ask("state", link.ours)
                self.student.ask("load_state", Sealed(self.student, link.theirs), state)
                self.version += 1
                link.version = self.version

    def renew(self, link: Link) -> None:
        """Bring our counterpart of a student's network up to date before it is asked."""
        self.tell_student(but=link)
        if link.changed or link.version == self.version or not link.design:
            return
        link.version = self.version
        item = Sealed(self.student, link.theirs)
        state = self.student.ask("state", item)
        if not isinstance(state, dict):
            raise Ended("tampered", "what came back is not in the format: no network")
        if state.get("design") == link.design:
            self.clean.ask("load_state", link.ours, state)
            return
        numbers = {one.theirs: one.ours._number for one in self.links if one is not link}
        parcel = self._parcel(item, numbers)
        vars(link.ours)["_number"] = self._unpacked(parcel)._number
        link.design = str(parcel.get("state", {}).get("design", ""))
