"""Serve the built book on 127.0.0.1, compressed, as a static host would.

python -m tools.serve [PORT]
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import socket as Socket

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, StaticFileHandler

from tools.errors import CourseError, run_tool
from tools.notebooks import ROOT

HTML = ROOT / "_build" / "html"


def application(folder: Path) -> Application:
    """Return the web application that serves ``folder`` with gzip and caching headers.

    Raises:
        CourseError: no built book is in ``folder``.
    """
    if not (folder / "index.html").is_file():
        raise CourseError(f"serving {folder}: no book is there. Run: make book")
    files = {"path": str(folder), "default_filename": "index.html"}
    return Application([(r"/(.*)", StaticFileHandler, files)], compress_response=True)


def listen(port: int, task: str) -> Socket:
    """Return a socket on this machine's own address, with a free port for 0.

    Raises CourseError, which names the task and another port, if a program has this one.
    """
    try:
        [socket] = bind_sockets(port, "127.0.0.1")
    except OSError as error:
        raise CourseError(
            f"{task} on port {port}: {error.strerror}. Choose another: PORT={port + 1}"
        ) from error
    return socket


@contextmanager
def serving(folder: Path = HTML, port: int = 0) -> Iterator[str]:
    """Serve ``folder`` from a thread of this process; yield the address, with a free port for 0.

    Raises CourseError if no book is there, or if another program has the port.
    """
    site = application(folder)
    socket = listen(port, f"serving {folder}")
    ready, loops = threading.Event(), []

    async def run() -> None:
        stop = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        HTTPServer(site).add_socket(socket)
        ready.set()
        await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        loop, stop = loops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def main() -> None:
    """Command line of this module: serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    with serving(port=port) as address, suppress(KeyboardInterrupt):
        print(f"{address} (Ctrl-C stops)", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    run_tool(main)
