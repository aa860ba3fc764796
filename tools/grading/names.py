"""Read names as they come: from Windows in Korea and Japan, with escapes in them, with an exercise.

Nothing here guesses a person. ``person`` says what of a text may be a name, or that none of it is.
"""

from __future__ import annotations

import functools
import os
import re
import unicodedata
from dataclasses import dataclass

from tools import notebooks

LONGEST = 100  # letters of a name that are kept
ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours and the cursor
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # titles and links
    r"|\x1b[@-~]"
)
# What systems and people write about a file, and never about a person.
ENDINGS = re.compile(
    r"\.(?:ipynb|zip|txt|json|py|pdf|html?|docx?|hwpx?|rtf|rar|7z|gz|tgz|tar|xz|bz2|md)$", re.I
)
COPIES = re.compile(
    r"^copy (?:\(\d+\) )?of |^(?:kopie von|copia de|copie de) |의 사본(?: ?\(\d+\))?|のコピー"
    r"| ?- ?(?:copy|kopie|copia|복사본|コピー)(?: ?\(\d+\))?(?= |$)|복사본",
    re.I,
)
TASKS = (
    "exercise|exercises|exercice|ejercicio|homework|assignment|assignments|problem set|lab|hw|ex"
    "|week|task|과제|실습|숙제|課題|演習|宿題"
)
TASK = re.compile(rf"(?<!\w)(?:{TASKS})(?:[ #-]*\d{{1,3}})?(?: ?\(\d+\))?(?!\w)", re.I)
WORDS = """
    submissions submission submitted submit handed hand handin handins in all the of for and to
    notebook notebooks student students class download downloads export exports final last draft
    old new backup attempt version untitled part copy copies answers answer course colab drive
    files file work works data src code main master downloaded unzipped
    제출 제출물 수업 학생 최종 진짜 수정 수정본 완성 다운로드 내 문서 답안
    提出 提出物 学生 最終 修正
"""
GENERIC = frozenset(WORDS.split())
NUMBERED = re.compile(r"\d+|(?:untitled|v|version|part|copy|draft)\d+")
ID = re.compile(r"(?<![^\W_])([A-Za-z]{0,3}\d{5,12})(?![^\W_])")
DATE = re.compile(r"20\d\d(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])")


@dataclass(frozen=True)
class Person:
    """What a text says of a person: a name, a number, or both."""

    name: str = ""
    id: str = ""

    def __bool__(self) -> bool:
        return bool(self.name or self.id)


# Bytes


def from_zip(raw: bytes) -> str:
    """Return the name that a zip without the mark for UTF-8 has for an entry."""
    return _decoded(raw, "cp437")


def from_disk(name: str) -> str:
    """Return the text of a name on disk, whose bytes need not be UTF-8."""
    return _decoded(os.fsencode(name), "cp1252")


def _decoded(raw: bytes, western: str) -> str:
    """Return the text in the first encoding in which it makes sense; it never raises.

    Almost every Korean name is in the 2,350 syllables of EUC-KR, and Japanese bytes read as cp949
    are not. Japanese bytes read as cp932 have kana or kanji, and Western ones have neither.
    """
    for encoding, sense in (("utf-8", None), ("cp949", _korean), ("cp932", _japanese)):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if sense is None or sense(text):
            return text
    return raw.decode(western, "replace")


def _korean(text: str) -> bool:
    strange = "".join(c for c in text if ord(c) > 127)
    try:
        narrow = len(strange.encode("euc_kr")) == 2 * len(strange)  # rarer syllables take eight
    except UnicodeEncodeError:
        return False
    return narrow and sum("가" <= c <= "힣" for c in strange) * 2 >= len(strange)


def _japanese(text: str) -> bool:
    """Return whether it is; an é in a Spanish name takes the letter after it for a kanji."""
    strange = [c for c in text if ord(c) > 127]
    plain = [c for c in strange if "\u3005" <= c <= "\u30ff" or "\u4e00" <= c <= "\u9fff"]
    odd = re.search(r"[\uff61-\uff9f]|[A-Za-z][^\x00-\x7f]|[^\x00-\x7f][a-z]", text)
    return not odd and len(plain) * 2 > len(strange)


# Texts


def visible(text: str, longest: int = LONGEST) -> str:
    """Return a text on one line, in NFC, without escapes and characters that cannot be seen."""
    text = unicodedata.normalize("NFC", ESCAPES.sub("", text[: longest * 20]))
    kept = []
    for c in text:
        kind = unicodedata.category(c)
        if kind in ("Zs", "Zl", "Zp") or c in "\t\n\r\v\f":
            kept.append(" ")
        elif kind[0] != "C":
            kept.append(c)
    return " ".join("".join(kept).split())[:longest].strip()


@functools.cache
def exercise_patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Return for each exercise its stem and what finds it in a name, with a copy's number."""
    made = []
    for stem in (path.stem for path in notebooks.masters()):
        number, *words = stem.split("_")
        title = r"[ _-]+".join(map(re.escape, words))
        copy = r"(?: ?\(\d+\)|-\d+(?![\w]))?"
        found = rf"(?:(?:{TASKS})[ _-]*)?(?<!\d){number}[ _-]+{title}{copy}"
        made.append((stem, re.compile(found, re.I)))
    return tuple(made)


def exercise_in(text: str) -> str:
    """Return the stem of the exercise that a name has in it, or ""; a number will do."""
    text = visible(text, 300)
    for stem, pattern in exercise_patterns():
        if pattern.search(text):
            return stem
    task = re.search(rf"(?<![^\W_])(?:{TASKS})[ _#-]*0*(\d{{1,2}})(?!\d)", text, re.I)
    numbers = {int(stem.split("_")[0]): stem for stem, _ in exercise_patterns()}
    return numbers.get(int(task[1]), "") if task else ""


def person(text: str) -> Person:
    """Return what of the name of a file or folder may be a person; nothing if it names nobody."""
    text = visible(text, 300)
    before = ""
    while text != before:
        before = text
        text = ENDINGS.sub("", text).strip()
    text = re.sub(r"\.ipynb", "", text, flags=re.I)
    for _, pattern in exercise_patterns():
        text = pattern.sub(" ", text)
    text = " ".join(text.replace("_", " ").split())
    text = TASK.sub(" ", COPIES.sub(" ", text))
    text = re.sub(r"(?:assignsubmission|onlinetext) file|assignsubmission", " ", text)
    number = ID.search(text)
    if number:
        text = text.replace(number[1], " ")
    name = _trimmed(text)
    known = "" if not number or (name and DATE.fullmatch(number[1])) else number[1]
    return Person(visible(name), known)


def _trimmed(text: str) -> str:
    """Return a name without the punctuation around it; "" if only words for files are left."""
    text = re.sub(r"\( *\)|\[ *\]", " ", text)
    text = " ".join(text.split()).strip(" .,;:-_+~&")
    if re.fullmatch(r"[(\[][^()\[\]]*[)\]]", text):
        text = text[1:-1].strip()
    words = re.findall(r"[^\W_]+", text.casefold())
    if all(word in GENERIC or NUMBERED.fullmatch(word) for word in words):
        return ""
    return text
