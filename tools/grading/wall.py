"""The wall: a sandbox of bubblewrap's around one student's process.

Own process, network, user and IPC namespaces; the system and the course's environment to read
and nothing else; /tmp and home in memory, with a size; no environment variables; limits on
memory, processor time, files and processes; killed as a whole.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tools.errors import CourseError

HERE = Path(__file__).parent
NOBODY = 65534
HOME = "/home/student"
GRADER = "/grader"  # where the inside finds worker.py and values.py
MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    notebook: float = 300.0  # seconds for all of it
    call: float = 60.0  # seconds for one cell or one question of the tests
    memory: int = 4096 * MIB  # bytes of memory, all processes together
    space: int = 12 * 1024 * MIB  # bytes of address space of one process; TensorFlow reserves much
    disk: int = 64 * MIB  # bytes in /tmp and in the home folder, each
    processor: int = 600  # seconds of processor time of one process
    processes: int = 256  # with their threads; TensorFlow starts some dozens


def missing() -> str:
    """Return why there can be no wall on this machine, or nothing if there can."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (Debian, Ubuntu: apt install bubblewrap)"
    words = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    tried = subprocess.run(words, capture_output=True, text=True, check=False)
    return f"bubblewrap does not start: {tried.stderr.strip()}" if tried.returncode else ""


def refuse_without_a_wall() -> None:
    """Raise CourseError, with the way on, if there can be no wall on this machine."""
    if reason := missing():
        raise CourseError(
            f"grading: {reason}. It keeps a student's code away from your files, and it is for "
            "Linux only. Elsewhere grade in a Linux machine, or say --unsafe to run the code of "
            "people you trust with your own rights."
        )


def command(limits: Limits, data: Path | None, *given: int | str) -> list[str]:
    """Return the command that runs worker.py behind the wall, with the arguments ``given``."""
    root = os.geteuid() == 0
    words = ["bwrap", "--die-with-parent", "--new-session", "--clearenv", "--unshare-pid"]
    words += ["--unshare-ipc", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    # A real other user, so that the limit on processes counts; only root can become one.
    words += [] if root else ["--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY)]
    words += ["--cap-drop", "ALL"]
    words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if root else []
    words += ["--proc", "/proc", "--dev", "/dev"]
    for folder in folders_in_memory():
        words += ["--perms", "0755", "--dir", str(Path(folder).parent)]
        words += ["--perms", "1777", "--size", str(limits.disk), "--tmpfs", folder]
    system = ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", *_python_folders()]
    for folder in sorted({str(p) for f in [*system, f"{GRADER}/x"] for p in Path(f).parents}):
        words += ["--perms", "0755", "--dir", folder]
    for folder in system:
        words += ["--ro-bind-try", folder, folder]
    for file in ("worker.py", "values.py"):
        words += ["--ro-bind", str(HERE / file), f"{GRADER}/{file}"]
    if data:
        words += ["--ro-bind", str(data), "/data"]
    settings = {
        "HOME": HOME,
        "TMPDIR": HOME,
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "COURSE_DATA": "/data",
        "MPLBACKEND": "agg",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for name, value in settings.items():
        words += ["--setenv", name, value]
    words += ["--remount-ro", "/", "--chdir", HOME, "--"]
    if root:
        words += ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
        words += ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
    words += ["prlimit", f"--as={limits.space}", f"--cpu={limits.processor}", "--core=0"]
    words += [f"--nproc={limits.processes}", f"--fsize={limits.disk}", "--nofile=256"]
    return [*words, sys.executable, "-s", f"{GRADER}/worker.py", *map(str, given)]


def folders_in_memory() -> list[str]:
    """Return the folders to write in: home, and /tmp where the course does not lie below it."""
    below = [Path(folder).is_relative_to("/tmp") for folder in _python_folders()]
    return [HOME] if any(below) else [HOME, "/tmp"]


def _python_folders() -> list[str]:
    """Return the folders of this Python: the environment's, and the one it was made from."""
    return sorted({sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parents[1])})


class Sandbox:
    """A worker behind the wall: the socket that leads to it, and its first process."""

    def __init__(self, limits: Limits, stream: socket.socket, first: int) -> None:
        """Take over the worker at the other end of ``stream``, whose first process is given."""
        self.limits, self.stream, self.first = limits, stream, first
        self.ended = False

    def memory(self) -> int:
        """Return the bytes of memory that all processes behind the wall hold."""
        page, total = os.sysconf("SC_PAGE_SIZE"), 0
        for process in [self.first, *descendants(self.first)]:
            try:
                total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * page
            except (OSError, IndexError):
                continue  # it has just ended
        return total

    def kill_processes(self) -> None:
        """End every process behind the wall, and return when the last one is gone."""
        if self.ended:  # its number may be another process's by now
            return
        self.ended = True
        processes = [self.first, *descendants(self.first)]
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        while any(alive(process) for process in processes):
            time.sleep(0.002)

    def kill(self) -> None:
        """End every process behind the wall, and close the way to it."""
        self.kill_processes()
        self.stream.close()


class Server:
    """A process behind the wall that has imported Keras, and forks for each submission.

    Each fork is behind a second wall, in namespaces of its own: it sees neither the server nor
    another submission.
    """

    def __init__(self, limits: Limits, data: Path | None, safe: bool = True) -> None:
        """Start the process; return when it is ready. Without ``safe`` there is no wall at all."""
        self.limits, self.data, self.safe = limits, data, safe
        if not safe:
            return
        self.control, inner = socket.socketpair()
        self.process = subprocess.Popen(
            command(limits, data, inner.fileno(), limits.disk, *folders_in_memory()),
            pass_fds=[inner.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        inner.close()
        self.control.settimeout(120)
        if self.control.recv(8, socket.MSG_WAITALL) != b"ready   ":
            raise CourseError(
                "starting the wall: bubblewrap or Python behind it did not start. Try: "
                + " ".join([*command(limits, data, 0)[:-1], "--help"])
            )

    def sandbox(self) -> Sandbox:
        """Return a new worker for one submission."""
        outer, inner = socket.socketpair()
        if not self.safe:
            words = [sys.executable, str(HERE / "worker.py"), str(inner.fileno())]
            settings = os.environ | {"COURSE_DATA": str(self.data), "MPLBACKEND": "agg"}
            bare = subprocess.Popen(words, pass_fds=[inner.fileno()], env=settings)
            inner.close()
            return Sandbox(self.limits, outer, bare.pid)
        socket.send_fds(self.control, [b"f"], [inner.fileno()])
        inner.close()
        number = int(self.control.recv(8, socket.MSG_WAITALL))
        for process in descendants(self.process.pid):
            if _numbers(process)[-2:] == [number, 1]:
                return Sandbox(self.limits, outer, process)
        raise CourseError("starting a worker behind the wall: it ended at once")

    def close(self) -> None:
        """End the server and whatever is left behind its wall."""
        if not self.safe:
            return
        Sandbox(self.limits, self.control, self.process.pid).kill()
        self.process.wait()


def _numbers(process: int) -> list[int]:
    """Return the numbers of a process, from the outermost process namespace to its own."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return []
    return [int(n) for n in re.findall(r"^NSpid:(.*)$", status, re.M)[0].split()]


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
