"""The Chromium of this machine, for what looks at the built pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from tools.errors import CourseError

NAMES = ("chromium", "google-chrome")


def executable() -> str | None:
    """Return the path of Chromium or Chrome, or None if neither is on the PATH."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def flags() -> list[str]:
    """Return the arguments that Chromium needs here: its sandbox refuses root."""
    return ["--no-sandbox"] if hasattr(os, "getuid") and os.getuid() == 0 else []


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium without a window; yield it, and close it at the end.

    Raises:
        CourseError: no Chromium is on the PATH.
    """
    path = executable()
    if not path:
        raise CourseError(f"starting a browser: none of {', '.join(NAMES)} is on the PATH.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags())
        yield browser
        browser.close()
