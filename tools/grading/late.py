"""What a late hand-in keeps of its points: a due date, and a policy in one line.

10% a day, at most 50%          each day that has begun costs 10 % of the points, at most half
5% an hour, grace 15 minutes    the first quarter of an hour costs nothing
10% a day, none after 3 days    after three days nothing is left
none after 0 days               nothing is left once it is late
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from tools.errors import CourseError

UNITS = {"minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
UNIT = "(minute|hour|day|week)s?"
NUMBER = r"(\d+(?:\.\d+)?)"
EXAMPLES = '"10% a day, at most 50%", "none after 3 days", "5% an hour, grace 15 minutes"'


@dataclass(frozen=True)
class Policy:
    """The parts of a policy; times in seconds, shares between 0 and 1."""

    step: float = 0.0
    every: float = UNITS["day"]
    most: float = 1.0
    end: float = math.inf
    grace: float = 0.0

    def factor(self, late: timedelta) -> float:
        """Return what is left of the points after ``late``: 1.0 if it is not late, 0.0 if nothing.

        A step is taken for each day (hour, week) that has begun. Within the grace nothing is lost;
        after it the whole delay counts.
        """
        seconds = late.total_seconds()
        if seconds <= self.grace or seconds <= 0:
            return 1.0
        if seconds > self.end:
            return 0.0
        lost = min(self.step * math.ceil(seconds / self.every), self.most, 1.0)
        return round(1.0 - lost, 6)


def policy(text: str) -> Policy:
    """Return the policy that a line says; "" takes nothing. Raises CourseError if unclear."""
    found: dict[str, float] = {}
    for part in filter(None, (p.strip() for p in re.split(r"[,;]", text.lower()))):
        for name, value in _part(part, text).items():
            if name in found:
                raise CourseError(f"reading the policy {text!r}: {part!r} says something twice")
            found[name] = value
    if text.strip() and not {"step", "end"} & set(found):
        raise CourseError(f"reading the policy {text!r}: it takes nothing. Such as: {EXAMPLES}")
    return Policy(**found)


def _part(part: str, text: str) -> dict[str, float]:
    """Return what one part of a policy says."""
    if m := re.fullmatch(rf"{NUMBER} ?% ?(?:an?|per|each|every|/) ?{UNIT}", part):
        return {"step": _share(m[1], text), "every": UNITS[m[2]]}
    if m := re.fullmatch(rf"(?:at most|max(?:imum)?\.?|up to) {NUMBER} ?%", part):
        return {"most": _share(m[1], text)}
    if m := re.fullmatch(rf"(?:none|nothing|0|zero) after {NUMBER} ?{UNIT}", part):
        return {"end": float(m[1]) * UNITS[m[2]]}
    if m := re.fullmatch(rf"grace(?: of)? {NUMBER} ?{UNIT}", part):
        return {"grace": float(m[1]) * UNITS[m[2]]}
    raise CourseError(f"reading the policy {text!r}: what is {part!r}? Such as: {EXAMPLES}")


def _share(number: str, text: str) -> float:
    if float(number) > 100:
        raise CourseError(f"reading the policy {text!r}: {number} % is more than all. Mend it")
    return float(number) / 100


def due(text: str) -> datetime:
    """Return the time that ``DUE=`` says: 2026-11-20, with an hour, with a zone.

    A day alone ends with its last second. Raises CourseError if it is no time.
    """
    text = text.strip()
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise CourseError(
            f"reading the due date {text!r}: {error}. Write it as 2026-11-20, as 2026-11-20T23:59, "
            "or with a zone as 2026-11-20T23:59+09:00"
        ) from error
    return when.replace(hour=23, minute=59, second=59) if re.fullmatch(r"[\d-]+", text) else when


def delay(at: datetime, due: datetime) -> timedelta:
    """Return how long after ``due`` it was. One that tells no zone is in the zone of the other."""
    if at.tzinfo is None and due.tzinfo is not None:
        at = at.replace(tzinfo=due.tzinfo)
    elif due.tzinfo is None and at.tzinfo is not None:
        due = due.replace(tzinfo=at.tzinfo)
    return at - due


def in_words(late: timedelta) -> str:
    """Return a delay as people say it: 2 days 3 hours, 5 minutes."""
    minutes = max(1, math.ceil(late.total_seconds() / 60))
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    told = [(days, "day"), (hours, "hour"), (minutes, "minute")]
    words = [f"{count} {unit}{'s' * (count != 1)}" for count, unit in told if count]
    return " ".join(words[:2])
