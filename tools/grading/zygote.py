"""A process that has imported Keras, and forks one into a sandbox for each that is asked for.

    python -m tools.grading.zygote FD

To import Keras takes five seconds, to fork a process that has done so a few milliseconds. No code
of a student's ever runs in this process. It starts bubblewrap, which makes the sandbox with
nothing but a sleeping program in it, forks, and the fork moves into the sandbox's namespaces. There
it gives up every right: other user, no capabilities, limits, and a filter of system calls. Only
then does it answer questions, as a worker or as a judge.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyseccomp as seccomp

from tools.grading import judge, worker

LIBC = ctypes.CDLL(None, use_errno=True)
ROLES = {"worker": worker.main, "judge": judge.main}
GET_OWNING_USER_NAMESPACE = 0xB701  # ioctl of a namespace, see ioctl_ns(2)
SUBREAPER, NO_NEW_PRIVILEGES, DROP_BOUNDING = 36, 38, 24  # see prctl(2)
NAMESPACES = 0x7E020000  # all flags of clone(2) that make a new one

# What a notebook has no use for and what gets around a limit: namespaces and mounts, memory that
# no limit counts, messages to a later process, other processes, and the kernel's rarer parts.
FORBIDDEN = (
    "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "fsopen", "fsmount",
    "fsconfig", "fspick", "open_tree", "move_mount", "mount_setattr", "open_by_handle_at",
    "name_to_handle_at", "memfd_create", "memfd_secret", "shmget", "shmat", "shmctl", "msgget",
    "msgsnd", "semget", "mq_open", "add_key", "request_key", "keyctl", "ptrace",
    "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "bpf", "perf_event_open",
    "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "kexec_load",
    "kexec_file_load", "init_module", "finit_module", "delete_module", "quotactl", "swapon",
    "swapoff", "reboot", "acct", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex",
    "sethostname", "setdomainname", "iopl", "ioperm", "personality", "lookup_dcookie",
    "vhangup", "syslog", "fanotify_init",
)  # fmt: skip


class SandboxError(Exception):
    """A sandbox could not be made; the message says why."""


# The sandbox


def start(command: list[str]) -> tuple[subprocess.Popen[bytes], int, int]:
    """Start bubblewrap with a sleeping program in it; return it, its first process, the sleeper.

    Raises SandboxError with bubblewrap's own words if it does not start.
    """
    read, write = os.pipe()
    words = [*command[:1], "--info-fd", str(write), *command[1:]]
    words += ["sh", "-c", "echo ready; exec sleep infinity"]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(words, pass_fds=[write], start_new_session=True, **pipes)  # type: ignore[call-overload]
    os.close(write)
    with os.fdopen(read) as info, process.stdout, process.stderr:
        if process.stdout.readline() != b"ready\n":
            raise SandboxError(process.stderr.read(2000).decode(errors="replace").strip())
        first = int(json.load(info)["child-pid"])
    sleeper = int(Path(f"/proc/{first}/task/{first}/children").read_text().split()[0])
    return process, first, sleeper


def move_into(first: int, sleeper: int) -> None:
    """Move this process into the namespaces of a sandbox; its children will be wholly in it."""
    names = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
    files = {name: os.open(f"/proc/{sleeper}/ns/{name}", os.O_RDONLY) for name in names}
    own_users = os.stat("/proc/self/ns/user").st_ino
    owner = fcntl.ioctl(files["mnt"], GET_OWNING_USER_NAMESPACE)
    apart = os.fstat(owner).st_ino != own_users
    if apart:
        _call(LIBC.setns(owner, 0))  # it gives the right to join the others
    for name in ("pid", "net", "ipc", "uts", "cgroup", "mnt"):
        _call(LIBC.setns(files[name], 0))
    if apart and os.fstat(files["user"]).st_ino != os.fstat(owner).st_ino:
        _call(LIBC.setns(files["user"], 0))


def give_up_rights(user: int | None, limits: dict[str, int]) -> None:
    """Become another user if one is given; drop capabilities, set limits, filter system calls."""
    for name, most in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        resource.setrlimit(kind, (most, most))
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
    for capability in range(64):
        LIBC.prctl(DROP_BOUNDING, capability, 0, 0, 0)
    if user is not None:
        os.setresuid(user, user, user)
    _call(LIBC.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    _call(LIBC.capset(header, (ctypes.c_uint32 * 6)()))
    filter_calls()


def filter_calls() -> None:
    """Refuse the system calls of ``FORBIDDEN`` from now on, and sockets that lead outside."""
    rules = seccomp.SyscallFilter(defaction=seccomp.ALLOW)
    refuse = seccomp.ERRNO(1)  # EPERM
    for name in FORBIDDEN:
        with contextlib.suppress(ValueError):  # not a call of this kind of processor
            seccomp.resolve_syscall(seccomp.system_arch(), name)
            rules.add_rule(refuse, name)
    rules.add_rule(seccomp.ERRNO(38), "clone3")  # ENOSYS: then the C library uses clone
    for flag in (1 << bit for bit in range(32) if NAMESPACES >> bit & 1):
        rules.add_rule(refuse, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    rules.add_rule(seccomp.ERRNO(97), "socket", seccomp.Arg(0, seccomp.NE, socket.AF_UNIX))
    rules.add_rule(
        refuse, "ioctl", seccomp.Arg(1, seccomp.MASKED_EQ, 0xFFFFFFFF, 0x5412)
    )  # TIOCSTI
    rules.load()


def _call(result: int) -> None:
    """Raise OSError if a call of the C library has failed."""
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


# Forking


def fork(role: str, stream: int, settings: dict[str, str], wall: dict[str, Any] | None) -> int:
    """Fork a process that serves ``stream`` in its role; return its number. It never returns.

    ``wall`` has the first and the sleeping process of a sandbox, a user and limits; without it
    the process stays outside and keeps its rights.
    """
    read, write = os.pipe()
    middle = os.fork()
    if middle:
        os.close(write)
        with os.fdopen(read) as answer:
            told = answer.read()
        if not told.isdigit():
            raise SandboxError(f"moving into the sandbox: {told or 'the process ended'}")
        return int(told)
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if wall:
            move_into(wall["first"], wall["sleeper"])
        inner = os.fork()
        if inner:
            os.write(write, str(inner).encode())
            os._exit(0)
        os.setsid()
        _keep_only(stream)
        os.environ.clear()
        os.environ.update(settings)
        os.chdir(settings["HOME"] if wall else "/")
        if wall:
            give_up_rights(wall["user"], wall["limits"])
        ROLES[role](socket.socket(fileno=stream))
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(write, repr(error).encode())
    finally:
        os._exit(1)


def _keep_only(stream: int) -> None:
    """Close every file but the stream: none may lead outside. The standard three read nothing."""
    nothing = os.open("/dev/null", os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    os.closerange(3, stream)
    os.closerange(stream + 1, 65536)


def _forget_ended(*_: Any) -> None:
    """Take note of the children that have ended, so that none stays as a zombie."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def serve(control: socket.socket) -> None:
    """Answer each request that comes through ``control`` with the new process's numbers."""
    LIBC.prctl(SUBREAPER, 1, 0, 0, 0)  # what is left of a sandbox becomes a child of this process
    # Not ignored: bubblewrap would inherit that, and would wait for ever for its own child.
    signal.signal(signal.SIGCHLD, _forget_ended)
    control.sendall(b"ready")
    while True:
        text, files, *_ = socket.recv_fds(control, 2**16, 1)
        if not text:
            return
        reply: dict[str, Any] = {}
        handles: list[int] = []
        try:
            reply, handles = answer(json.loads(text), files[0])
        except (SandboxError, OSError, ValueError, IndexError) as error:
            reply = {"error": str(error)}
        for file in files:
            os.close(file)
        socket.send_fds(control, [json.dumps(reply).encode()], handles)
        for handle in handles:
            os.close(handle)


def answer(request: dict[str, Any], stream: int) -> tuple[dict[str, Any], list[int]]:
    """Make what a request asks for; return its numbers, and a handle on its first process."""
    wall, first = None, 0
    if request["command"]:
        _, first, sleeper = start(request["command"])
        names = {"first": first, "sleeper": sleeper}
        wall = names | {"user": request["user"], "limits": request["limits"]}
    try:
        number = fork(request["role"], stream, request["settings"], wall)
    except SandboxError:
        if first:
            os.kill(first, signal.SIGKILL)
        raise
    handles = [os.pidfd_open(first or number)] if hasattr(os, "pidfd_open") else []
    return {"number": number, "first": first or number}, handles


if __name__ == "__main__":
    try:
        serve(socket.socket(fileno=int(sys.argv[1])))
    finally:
        shutil.rmtree(os.environ["HOME"])  # this run's own folder, which a killed grader leaves
