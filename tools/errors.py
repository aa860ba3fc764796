"""How a tool fails: one sentence that says what it was doing, with which file, and what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable


class CourseError(Exception):
    """A failure that the user can mend. The message names the task, the file and the way on."""


def run_tool(main: Callable[[], None]) -> None:
    """Run ``main``; print a CourseError as one line on stderr and exit with status 1."""
    try:
        main()
    except CourseError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
