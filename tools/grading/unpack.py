"""Walk a folder or a zip, with the zips in it, one file at a time and within limits.

Nothing is written, no link is followed, and no name in a zip leads anywhere. At any time at most
one file is in memory. What cannot be read is a file with a problem, never an exception.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

from tools.grading import names

MIB = 2**20
HEAD = 4096  # bytes of a file that is not a notebook
CHUNK = 2**16
DATA_FILES, SIDE_FILES = 20, 2_000  # of one folder that are told; the rest is as if not there
SYSTEM_FILES = ("thumbs.db", "desktop.ini", "icon\r", "__macosx")
BESIDE = """
    png jpg jpeg gif svg webp bmp tif tiff csv tsv npz npy h5 hdf5 keras pt pth pkl pickle parquet
    xlsx xls pptx ppt mp4 mov avi mkv mp3 wav m4a webm ttf woff woff2 css js so dll exe class jar
"""
DATA = frozenset(BESIDE.split())
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # the others unpack without a limit


@dataclass(frozen=True)
class Limits:
    """What one hand-in may cost, in bytes and counts. By depth: a zip, a zip in it, and so on."""

    file: int = 20 * MIB  # of a notebook; a student's has 0.1 MB
    inner: int = 300 * MIB  # of a zip in a zip
    least: tuple[int, ...] = (1000 * MIB, 450 * MIB, 150 * MIB, 50 * MIB)  # see Budget; by depth
    listing: int = 8 * MIB  # of a zip's list of files: about 50,000 of them
    free: int = 2 * MIB  # of a file whose ratio is not asked
    ratio: int = 100  # unpacked to packed, of one file
    whole: int = 50  # the same of a zip that unpacks to more than `least`
    refused: tuple[int, ...] = (20, 5, 0, 0)  # zips in a zip that unpack to too much, by depth
    files: int = 50_000  # in a zip
    depth: int = 4  # zips in zips
    folders: int = 20  # folders in folders


@dataclass
class File:
    """A file where it lay. ``content`` is all of it if ``whole``, else its beginning."""

    parts: tuple[str, ...]  # a zip on the way counts as a folder
    content: bytes = b""
    whole: bool = False
    size: int = 0
    time: datetime | None = None  # as the disk or the zip has it: not when it was handed in
    problem: str = ""
    sentence: str = ""
    zipped: bool = False  # the problem is a zip's as a whole
    link: bool = False

    @property
    def place(self) -> str:
        """Return where it lay, in words: class.zip > kim.zip > 01.ipynb."""
        text = self.parts[0]
        for before, part in zip(self.parts, self.parts[1:]):
            text += (" > " if before.lower().endswith(".zip") else "/") + part
        return text


class TooMuch(Exception):
    """A zip unpacks to more than it may."""

    def __init__(self, budget: Budget) -> None:
        super().__init__("too much")
        self.budget = budget


class Budget:
    """The bytes that a zip may still unpack to. Zips in it spend of it, too.

    A zip may always unpack to ``least``. That is more for one further out, so that one bad zip of
    a student does not use up what the zip of the class may unpack to.
    """

    def __init__(self, size: int, limits: Limits, above: Budget | None, depth: int) -> None:
        self.left = max(limits.least[depth - 1], limits.whole * size)
        self.spent, self.above = 0, above
        self.may_refuse = limits.refused[depth - 1]

    def spend(self, count: int) -> None:
        """Take ``count`` bytes; raise TooMuch where there are not as many."""
        budget: Budget | None = self
        while budget is not None:
            budget.spent += count
            if budget.spent > budget.left:
                raise TooMuch(budget)
            budget = budget.above

    def refuse(self) -> None:
        """Give back what a refused zip has spent, so that it costs no other hand-in.

        Raises TooMuch for the zip around it if that has too many of them.
        """
        budget = self.above
        while budget is not None:
            budget.spent -= self.spent
            budget = budget.above
        if self.above is not None:
            self.above.may_refuse -= 1
            if self.above.may_refuse < 0:
                raise TooMuch(self.above)


def walk(place: Path, limits: Limits | None = None) -> Iterator[File]:
    """Yield the files in ``place``, a folder or a file, by name; not those that systems leave."""
    limits = limits or Limits()
    if place.is_dir():
        yield from _few(_folder(place, (), limits))
    else:
        yield from _few(_on_disk(place, (names.visible(names.from_disk(place.name), 300),), limits))


def _few(files: Iterator[File]) -> Iterator[File]:
    """Leave out what lies beside a notebook, but for the first of each folder."""
    seen: Counter[tuple[str, ...]] = Counter()
    for file in files:
        if not file.whole and not file.problem:
            data = _ending(file.parts[-1]) in DATA
            seen[(str(data), *file.parts[:-1])] += 1
            if seen[(str(data), *file.parts[:-1])] > (DATA_FILES if data else SIDE_FILES):
                continue
        yield file


def hidden(part: str) -> bool:
    """Return whether a name is of a file or folder that systems leave lying about."""
    if part.lower().endswith(".ipynb") and not part.startswith("._"):
        return False
    return part.startswith(".") or part.lower() in SYSTEM_FILES


# On disk


def _folder(folder: Path, above: tuple[str, ...], limits: Limits) -> Iterator[File]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield _unreadable(above or (folder.name,), error)
        return
    if len(above) > limits.folders:
        yield File(above, problem="unreadable", sentence="the folders are nested too deeply")
        return
    if not entries and above and above[-1].lower().endswith(".ipynb"):
        yield File(above, problem="not a notebook", sentence="it is an empty folder, not a file")
    for entry in entries:
        name = names.visible(names.from_disk(entry.name), 300) or "_"
        if hidden(name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _folder(Path(entry.path), (*above, name), limits)
        else:
            yield from _on_disk(Path(entry.path), (*above, name), limits)


def _on_disk(path: Path, parts: tuple[str, ...], limits: Limits) -> Iterator[File]:
    try:
        facts = path.lstat()
        if stat.S_ISLNK(facts.st_mode):
            yield _link(parts)
            return
        if not stat.S_ISREG(facts.st_mode):
            yield File(parts, problem="not a notebook", sentence="it is a device, not a file")
            return
        time = datetime.fromtimestamp(facts.st_mtime).replace(microsecond=0)
        with path.open("rb") as stream:
            if _is_zip(parts[-1]):
                yield from _zip(stream, parts, limits, None, 1)
            else:
                yield _taken(stream, File(parts, size=facts.st_size, time=time), limits, _free)
    except (OSError, ValueError, OverflowError) as error:
        yield _unreadable(parts, error)


def _link(parts: tuple[str, ...]) -> File:
    sentence = "it is a link to a file, not the file: hand in the notebook itself"
    return File(parts, problem="not a notebook", sentence=sentence, link=True)


def _unreadable(parts: tuple[str, ...], error: Exception) -> File:
    reason = names.visible(getattr(error, "strerror", None) or str(error))
    sentence = f"the file cannot be read: {reason}"
    return File(parts, problem="unreadable", sentence=sentence)


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _free(_: int) -> None:
    """Count nothing: what lies on a disk is as large as it is."""


def _taken(stream: IO[bytes], file: File, limits: Limits, spend: Callable[[int], None]) -> File:
    """Return ``file`` with its content, or with its beginning if it can be no notebook."""
    head = b""
    if _may_be_notebook(file.parts[-1], None):
        head = stream.read(HEAD)
        spend(len(head))
    if not _may_be_notebook(file.parts[-1], head):
        file.content = head
        return file
    pieces, total = [head], len(head)
    while piece := stream.read(CHUNK):
        spend(len(piece))
        pieces.append(piece)
        total += len(piece)
        if total > limits.file:
            file.content, file.problem = head, "too large"
            file.sentence = too_large(limits.file)
            return file
    file.content, file.whole = b"".join(pieces), True
    return file


def too_large(most: int) -> str:
    """Return the sentence for a file with too many bytes."""
    return (
        f"the file has more than {most // MIB} MB: clear the outputs "
        "(in Colab: Edit > Clear all outputs), save, and hand it in again"
    )


def _may_be_notebook(name: str, head: bytes | None) -> bool:
    """Return whether to read on: of any file the beginning, of a possible notebook all."""
    if ".ipynb" in name.lower():
        return True
    if head is None:
        return _ending(name) not in DATA
    if name in ("submission_metadata.yml", "submission_metadata.yaml") or "_attempt_" in name:
        return True
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith((b"{", b"\xff\xfe{", b"\xfe\xff\0{"))


# In a zip


def _zip(
    source: IO[bytes], parts: tuple[str, ...], limits: Limits, above: Budget | None, depth: int
) -> Iterator[File]:
    """Yield the files in a zip; a file with a problem for the zip itself if it is refused."""
    if depth > limits.depth:
        sentence = "there are zips in zips in zips: hand in the notebook itself"
        yield File(parts, problem="unreadable", sentence=sentence, zipped=True)
        return
    try:
        size = source.seek(0, os.SEEK_END)
        packed = _opened(source, size, limits)
    except Exception as error:  # a hostile zip can raise anything here
        yield _broken(source, parts, error)
        return
    budget = Budget(size, limits, above, depth)
    try:
        empty = True
        for file in _entries(packed, parts, limits, budget, depth):
            empty = False
            yield file
        if empty:
            sentence = "there is no file in the zip: zip the notebook again, and look into it"
            yield File(parts, problem="empty", sentence=sentence, zipped=True)
    except TooMuch as over:
        if over.budget is not budget:
            raise
        sentence = "the zip unpacks to far too much: hand in the notebook itself"
        yield File(parts, problem="too large", sentence=sentence, zipped=True)
        budget.refuse()
    except Exception as error:  # as above
        yield _unpacked_not(parts, error)


def _entries(
    packed: zipfile.ZipFile, above: tuple[str, ...], limits: Limits, budget: Budget, depth: int
) -> Iterator[File]:
    for entry in packed.infolist():
        name = _name(entry)
        inside = _parts(name)
        if name.endswith(("/", "\\")) or any(map(hidden, inside)):
            continue
        parts = (*above, *inside)
        if stat.S_ISLNK(entry.external_attr >> 16):
            yield _link(parts)
        elif refused := _refused(entry, parts, limits):
            yield refused
        elif _is_zip(inside[-1]):
            yield from _inner(packed, entry, parts, limits, budget, depth)
        else:
            yield _entry(packed, entry, parts, limits, budget)


def _entry(
    packed: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    parts: tuple[str, ...],
    limits: Limits,
    budget: Budget,
) -> File:
    file = File(parts, size=entry.file_size, time=_time(entry))
    try:
        with packed.open(entry) as stream:
            return _taken(stream, file, limits, budget.spend)
    except TooMuch:
        raise
    except Exception as error:  # zlib.error, BadZipFile, EOFError, and what else there may be
        return _unpacked_not(parts, error)


def _inner(
    packed: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    parts: tuple[str, ...],
    limits: Limits,
    budget: Budget,
    depth: int,
) -> Iterator[File]:
    """Yield the files of a zip in a zip, which lies in memory, or on disk if it is larger."""
    with SpooledTemporaryFile(max_size=8 * MIB) as held:
        try:
            with packed.open(entry) as stream:
                while piece := stream.read(CHUNK):
                    budget.spend(len(piece))
                    held.write(piece)
        except TooMuch:
            raise
        except Exception as error:  # as above
            yield _unpacked_not(parts, error)
            return
        yield from _zip(held, parts, limits, budget, depth + 1)


def _refused(entry: zipfile.ZipInfo, parts: tuple[str, ...], limits: Limits) -> File | None:
    """Return a file with a problem for an entry that is not to be opened."""
    most = limits.inner if _is_zip(parts[-1]) else limits.file
    if entry.flag_bits & 1:
        sentence = "it is in a zip with a password: zip it again without one"
        return File(parts, problem="unreadable", sentence=sentence)
    if entry.compress_type not in METHODS:
        sentence = "the zip is packed in an unusual way: zip it again, or hand in the notebook"
        return File(parts, problem="unreadable", sentence=sentence)
    if not _may_be_notebook(parts[-1], None):
        return None  # it is not read
    steep = entry.file_size > max(limits.free, limits.ratio * entry.compress_size)
    if (entry.file_size > most or steep) and re.search(r"\.ipynb|\.zip$", parts[-1], re.I):
        return File(parts, problem="too large", sentence=too_large(most))
    return None


def _name(entry: zipfile.ZipInfo) -> str:
    """Return the name of an entry, in the encoding that it was written in."""
    name = entry.orig_filename
    if entry.filename != name and "\0" not in name:
        return entry.filename  # the zip has a name in UTF-8 beside it
    if not entry.flag_bits & 0x800:
        return names.from_zip(name.encode("cp437", "replace"))
    return name


def _parts(name: str) -> tuple[str, ...]:
    """Return the folders and the file of a name, none of which leads out of the zip."""
    parts = [names.visible(part, 300) for part in re.split(r"[/\\]", name)]
    return tuple(part for part in parts if part not in ("", ".", "..")) or ("_",)


def _time(entry: zipfile.ZipInfo) -> datetime | None:
    try:
        return datetime(*entry.date_time)
    except ValueError:
        return None


def _unpacked_not(parts: tuple[str, ...], error: Exception) -> File:
    reason = names.visible(f"{type(error).__name__}: {error}")
    sentence = f"it cannot be unpacked, the zip is damaged ({reason}): hand it in again"
    return File(parts, problem="unreadable", sentence=sentence)


def _broken(source: IO[bytes], parts: tuple[str, ...], error: Exception) -> File:
    """Return the file with a problem for a zip that cannot be opened."""
    source.seek(0)
    head = source.read(HEAD)
    if not head:
        return File(parts, problem="empty", sentence="the file is empty", zipped=True)
    reason = names.visible(str(error)) or type(error).__name__
    sentence = f"the zip cannot be opened ({reason}): zip the notebook again, or hand it in itself"
    return File(parts, head, problem="unreadable", sentence=sentence, zipped=True)


def _opened(source: IO[bytes], size: int, limits: Limits) -> zipfile.ZipFile:
    """Return the open zip; raise BadZipFile, or whatever it provokes, if it is not to be read."""
    _check_listing(source, size, limits)
    packed = zipfile.ZipFile(source)
    if len(packed.infolist()) > limits.files:
        raise zipfile.BadZipFile("it holds too many files")
    _check_overlap(packed)
    return packed


def _check_listing(source: IO[bytes], size: int, limits: Limits) -> None:
    """Raise BadZipFile if there is no list of files at the end, or one that is too long to read."""
    back = min(size, 22 + 0xFFFF)
    source.seek(size - back)
    tail = source.read(back)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or at + 22 > len(tail):
        raise zipfile.BadZipFile("it is no zip, or its end is missing")
    length = int(struct.unpack_from("<L", tail, at + 12)[0])
    if at >= 20 and tail[at - 20 : at - 16] == b"PK\6\7":  # the form for large ones
        source.seek(struct.unpack_from("<Q", tail, at - 12)[0])
        length = int(struct.unpack_from("<Q", source.read(56), 40)[0])
    if length > limits.listing:
        raise zipfile.BadZipFile("it holds too many files")


def _check_overlap(packed: zipfile.ZipFile) -> None:
    """Raise BadZipFile if two entries share bytes, which no honest program writes."""
    entries = sorted(packed.infolist(), key=lambda entry: entry.header_offset)
    for entry, after in zip(entries, entries[1:]):
        if entry.header_offset + 30 + entry.compress_size > after.header_offset:
            raise zipfile.BadZipFile("files in it lie over one another")
