"""The wall: each hand-in runs in sandboxes of its own, made by bubblewrap.

Own process, network, IPC and file namespaces; the system and the course's environment to read and
nothing else; /tmp, /dev/shm and home in memory, with a size; no environment variables; limits on
memory, processor time, files and processes; no capabilities; a filter of system calls; killed as a
whole. Nothing of a sandbox outlives it, so nothing of one hand-in is seen by the next.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tools import notebooks
from tools.errors import CourseError
from tools.grading import values

NOBODY = 65534
# As root each sandbox has a user of its own, since limits count by user; each run, other users.
FIRST_USER = 2_000_000_000 + os.getpid() % 100_000 * 10_000
HOME = "/home/student"
MIB = 2**20
# Needs modules that are not imported before the wall stands, as notebooks do.
TRIAL = """
import wave, numpy.polynomial, keras
print(float(keras.ops.sum(keras.ops.ones(2))))
"""
IN_MEMORY = (HOME, "/tmp", "/dev/shm")
REMEDIES = """
Ubuntu 23.10 and newer allow bubblewrap only what its AppArmor profile says. Two commands help,
the first until the next start, the second for good:
  sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0
  echo kernel.apparmor_restrict_unprivileged_userns=0 | sudo tee /etc/sysctl.d/60-userns.conf
Elsewhere an administrator may have set kernel.unprivileged_userns_clone or user.max_user_namespaces
to 0. In Docker start the container as tools/grading/Containerfile says.
"""


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    notebook: float = 300.0  # seconds for all of it
    call: float = 60.0  # seconds for one cell, or for the tests of one question
    memory: int = 4096 * MIB  # bytes of memory, all processes of a sandbox together
    space: int = 12 * 1024 * MIB  # bytes of address space of one process; TensorFlow reserves much
    disk: int = 64 * MIB  # bytes in each folder in memory
    processor: int = 600  # seconds of processor time of one process
    processes: int = 128 + 6 * (os.cpu_count() or 1)  # with their threads; TensorFlow starts many
    files: int = 128  # open ones of a process: each socket holds memory that nobody counts


def missing() -> str:
    """Return why there can be no wall on this machine, or nothing if there can."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (Debian, Ubuntu: apt install bubblewrap)"
    if os.geteuid() == 0 and (closed := _closed_to_others()):
        return f"{closed} cannot be read by other users, as which root runs the students' code"
    words = [*command(Limits(), None), "true"]
    tried = subprocess.run(words, capture_output=True, text=True, check=False)
    if not tried.returncode:
        return ""
    told = tried.stderr.strip()
    return f"bubblewrap does not start: {told}{'' if os.geteuid() == 0 else REMEDIES}"


def _closed_to_others() -> Path | None:
    """Return a part of this Python that other users cannot read, as after a umask of 077."""
    places = [*map(Path, _python_folders()), Path(sys.executable).resolve(), Path(np.__file__)]
    return next((place for place in places if not place.stat().st_mode & 0o004), None)


def refuse_without_a_wall() -> None:
    """Raise CourseError, with the way on, if there can be no wall on this machine."""
    if reason := missing():
        raise CourseError(
            f"grading: {reason}. It keeps a student's code away from your files, and it is for "
            "Linux only. On macOS and Windows use the image (book/instructors.md), or say --unsafe "
            "on Linux to run the code of people you trust with your own rights."
        )


def command(limits: Limits, data: Path | None) -> list[str]:
    """Return bubblewrap's words for a sandbox in which ``data``, if given, is at /data."""
    root = os.geteuid() == 0
    words = ["bwrap", "--die-with-parent", "--new-session", "--clearenv", "--unshare-pid"]
    words += ["--unshare-ipc", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    # Root makes the sandbox without a user namespace, and what runs in it becomes a real other
    # user; anybody else needs the namespace, and no further one can be made in it.
    words += [] if root else ["--unshare-user", *_no_more_namespaces()]
    words += [] if root else ["--uid", str(NOBODY), "--gid", str(NOBODY)]
    words += ["--cap-drop", "ALL", "--proc", "/proc", "--dev", "/dev"]
    for place in ("sys", "sysrq-trigger", "irq", "bus", "fs"):  # the kernel's settings
        words += ["--ro-bind-try", f"/proc/{place}", f"/proc/{place}"]
    system = ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", *_python_folders()]
    words += ["--perms", "0755", "--dir", str(Path(HOME).parent)]
    for folder in IN_MEMORY:
        words += ["--perms", "1777", "--size", str(limits.disk), "--tmpfs", folder]
    # After these, as the course may lie below /tmp: others have to get through to it.
    below = {str(parent) for folder in system for parent in Path(folder).parents}
    for folder in sorted(below - set(IN_MEMORY)):
        words += ["--perms", "0755", "--dir", folder]
    for folder in system:
        words += ["--ro-bind-try", folder, folder]
    if data:
        words += ["--ro-bind", str(data), "/data"]
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", HOME, "--"]


@functools.cache
def _no_more_namespaces() -> list[str]:
    """Return the option of bubblewrap 0.8 and newer; the filter of system calls does it as well."""
    told = subprocess.run(["bwrap", "--help"], capture_output=True, text=True, check=False)
    return ["--disable-userns"] if "--disable-userns" in told.stdout else []


def settings(data: bool) -> dict[str, str]:
    """Return all environment variables of a process in a sandbox. No GPU: marks do not differ."""
    return {
        "HOME": HOME,
        "TMPDIR": "/tmp",
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "COURSE_DATA": "/data" if data else "/nowhere",
        "MPLBACKEND": "agg",
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "NVIDIA_TF32_OVERRIDE": "0",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PIP_RETRIES": "0",  # there is no network to wait for
    }


def _python_folders() -> list[str]:
    """Return the folders of this Python: the environment's, and the one it was made from."""
    return sorted({sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parents[1])})


class Sandbox:
    """A process behind the wall, and the socket that leads to it."""

    def __init__(self, stream: socket.socket, number: int, first: int, handle: int) -> None:
        """Take over a process ``number``; ``handle`` stands for the sandbox's ``first`` one."""
        self.stream, self.number, self.first, self.handle = stream, number, first, handle

    def memory(self) -> int:
        """Return the bytes of memory that all processes in the sandbox hold."""
        page, total = os.sysconf("SC_PAGE_SIZE"), 0
        roots = {self.number, self.first}
        for process in roots.union(*(descendants(root) for root in roots)):
            try:
                total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * page
            except (OSError, IndexError):
                continue  # it has just ended
        return total

    def kill(self) -> None:
        """End every process in the sandbox; return when the last one is gone."""
        if self.handle < 0:
            return
        below = [] if self.number != self.first else descendants(self.first)  # without a wall
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, signal.SIGKILL)
        for process in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        select.select([self.handle], [], [], 10)  # the first process is the last one to go
        os.close(self.handle)
        self.handle = -1
        self.stream.close()


class Zygote:
    """The process that has imported Keras, from which the processes in the sandboxes are forked."""

    users = itertools.count(FIRST_USER)

    def __init__(self, limits: Limits, data: Path | None, safe: bool = True) -> None:
        """Start it; return when it is ready. Without ``safe`` there are no sandboxes at all."""
        self.limits, self.data, self.safe = limits, data, safe
        self.lock = threading.Lock()  # one request at a time
        self.environment = _environment()
        self.control, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.folder = Path(tempfile.mkdtemp(prefix="course-zygote-"))  # the process removes it
        words = [sys.executable, "-s", "-m", "tools.grading.zygote", str(inner.fileno())]
        environment = settings(data=False) | {
            "HOME": str(self.folder),  # nobody's own settings of Keras or IPython
            "MPLCONFIGDIR": str(self.folder),
            "PATH": os.environ.get("PATH", os.defpath),
        }
        errors = Path(self.folder, "errors")
        with errors.open("w") as written:
            self.process = subprocess.Popen(
                words,
                pass_fds=[inner.fileno()],
                env=environment,
                cwd=notebooks.ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=written,
                start_new_session=True,
            )
        inner.close()
        self.control.settimeout(180)
        if self.control.recv(8) != b"ready":
            told = errors.read_text(errors="replace").strip().splitlines()
            reason = told[-1] if told else "Python did not start"
            raise CourseError(f"starting the grader: {reason}")
        try:
            self.try_out()
        except CourseError:
            self.close()
            raise

    def try_out(self) -> None:
        """Run a cell behind the wall; raise CourseError if what a notebook needs is not there.

        Without this a machine on which nothing can be imported would give everybody 0 points.
        """
        sandbox = self.sandbox("worker")
        try:
            sandbox.stream.settimeout(120)
            tree, blobs = values.dump([TRIAL, "trial"], lambda item: [])
            values.send(sandbox.stream, {"ask": "run", "token": "", "value": tree}, blobs)
            message, blobs = values.receive(sandbox.stream)
            told = values.load(message.get("value"), blobs, lambda node: None)
            if told != {"printed": "2.0\n", "error": None}:
                raise CourseError(f"trying the grader: a cell behind the wall told {told}")
        except (OSError, EOFError, values.BadValueError) as error:
            raise CourseError(f"trying the grader: the process behind it ended: {error}") from error
        finally:
            sandbox.kill()

    def refuse_if_changed(self) -> None:
        """Raise CourseError if the course's environment is not the one that this began with.

        What a sandbox cannot import, since it was installed anew meanwhile, is no student's fault.
        """
        if _environment() != self.environment:
            raise CourseError(f"grading: {sys.prefix} was changed meanwhile. Grade again")

    def sandbox(self, role: str, data: bool = True) -> Sandbox:
        """Return a new process in a sandbox of its own: a "worker" or a "judge"."""
        outer, inner = socket.socketpair()
        limits = self.limits
        request = {
            "role": role,
            "command": command(limits, self.data if data else None) if self.safe else [],
            "user": next(self.users) if os.geteuid() == 0 else None,
            "settings": settings(data),
            "limits": {
                "AS": limits.space, "CPU": limits.processor, "CORE": 0,
                "NPROC": limits.processes + _tasks_that_count(),
                "FSIZE": limits.disk, "NOFILE": limits.files, "MSGQUEUE": 0,
            },
        }  # fmt: skip
        if not self.safe:
            request["settings"] = settings(data) | {"COURSE_DATA": str(self.data)}
        with self.lock:
            socket.send_fds(self.control, [json.dumps(request).encode()], [inner.fileno()])
            text, handles, *_ = socket.recv_fds(self.control, 2**16, 1)
        inner.close()
        reply = json.loads(text or b'{"error": "the grader\'s own process has ended"}')
        if "error" in reply:
            outer.close()
            raise CourseError(f"making a sandbox: {reply['error']}")
        return Sandbox(outer, reply["number"], reply["first"], handles[0])

    def close(self) -> None:
        """End it; what is still in a sandbox ends with it."""
        self.control.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            shutil.rmtree(self.folder, ignore_errors=True)


def _environment() -> tuple[int, int] | None:
    """Return what tells one installation of the course's environment from another."""
    try:
        told = Path(sys.prefix, "pyvenv.cfg").stat()
    except OSError:
        return None
    return told.st_ino, told.st_mtime_ns


@functools.cache
def _tasks_that_count() -> int:
    """Return how many tasks count towards a sandbox's limit though they are outside of it.

    Before Linux 5.14 all of a user's did, whatever the namespace.
    """
    kernel = tuple(int(n) for n in re.findall(r"\d+", os.uname().release)[:2])
    if os.geteuid() == 0 or kernel >= (5, 14):
        return 0
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == os.getuid():
                total += len(list((folder / "task").iterdir()))
    return total + 200  # and what the user starts in the meantime


def alive(process: int) -> bool:
    """Return whether a process exists and is not merely waiting to be forgotten."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descendants(parent: int) -> list[int]:
    """Return the processes below ``parent``, deepest last."""
    found, waiting = [], [parent]
    while waiting:
        process = waiting.pop()
        try:
            tasks = list(Path(f"/proc/{process}/task").iterdir())
            children = [int(c) for t in tasks for c in (t / "children").read_text().split()]
        except OSError:
            continue
        found += children
        waiting += children
    return found


def until_gone(processes: list[int], seconds: float) -> list[int]:
    """Wait until none of these processes is alive, or the time is over; return those that are."""
    end = time.monotonic() + seconds
    while (left := [p for p in processes if alive(p)]) and time.monotonic() < end:
        time.sleep(0.02)
    return left
