"""Make a deck of slides from each lesson, _build/slides/NN_topic.html.

    python -m tools.slides              all of them, and a page that lists them
    python -m tools.slides 02 05        some

A deck asks each **Predict** question on a slide of its own and answers it on the next, shows each
figure, and puts the questions of the quiz, one option at a time. What the lesson says about them
is in the speaker's notes. Nothing is written here that the notebook does not say.

A deck is one file, which asks nothing of any other place: it can be opened from a USB stick. The
program that moves the slides is reveal.js, as the package sphinx-revealjs carries it. (nbconvert
makes slides with reveal.js, too, but of whole cells, and its pages ask five other hosts.)
"""

from __future__ import annotations

import argparse
import ast
import base64
import html
import importlib.util
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import imagesize
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from sphinx.errors import ExtensionError

from tools.course_site.mathml import to_mathml
from tools.errors import CourseError, run_tool
from tools.notebooks import ROOT, Notebook, lessons, read, select

OUT = ROOT / "_build" / "slides"
STYLE = Path(__file__).with_suffix(".css")
FONT = ROOT / "book" / "_static" / "fonts" / "stix-two-math-subset.woff2"

# In CSS pixels of a slide of 1280 x 720, which reveal.js scales to the screen. slides.css has the
# same numbers.
WIDTH, HEIGHT = 1168, 646
HEADING = 96  # the line with the section's name, and the heading
SMALLEST = 20
SIZES = (40, 36, 32, 28, 25, 22, SMALLEST)
PRINTED = 32  # the largest size of printed text
FIGURE = 430  # no figure is made lower than this, so that its numbers can be read
READING = 320  # letters of the text that reads a result aloud; the rest is in the notes

PREDICT = "**Predict.**"
DETAILS = re.compile(r"<details><summary>(.*?)</summary>(.*?)</details>", re.S)
# The space between two sentences.
SENTENCE = re.compile(r"(?:(?<=[.?!])|(?<=\.\)))\s+(?=[A-Z0-9“\"(−$*`])")
# A sentence before a figure that says what to see in it.
ANNOUNCED = re.compile(
    r"\b(picture|chart|figure|draws?|drawn|shows?|see|circle|lines?|bars?)\b", re.I
)
IMAGES = ("image/png", "image/jpeg")


@dataclass
class Slide:
    """One slide: what it is, its name in the address bar, its HTML, and the speaker's notes."""

    kind: str
    name: str
    body: str
    notes: list[str] = field(default_factory=list)  # Markdown


@dataclass
class Section:
    """A section of a lesson: its heading, its number of words, and its slides."""

    heading: str
    words: int = 0
    slides: list[Slide] = field(default_factory=list)


# ---- Markdown ----


def _formula(latex: str, options: dict[str, Any]) -> str:
    try:
        return to_mathml(latex, "block" if options["display_mode"] else "inline")
    except ExtensionError as error:
        raise CourseError(f"making slides: {error}. Mend the formula in the lesson.") from error


@cache
def _markdown() -> MarkdownIt:
    """Return the reader of Markdown; a link becomes its text, since a slide leads nowhere."""
    reader = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin, renderer=_formula)
    for rule in ("link_open", "link_close"):
        reader.add_render_rule(rule, lambda *_: "")
    return reader


def to_html(text: str) -> str:
    """Return Markdown as HTML, with its formulas as MathML."""
    return str(_markdown().render(text))


def blocks(text: str) -> list[str]:
    """Return the paragraphs, lists, tables, formulas and headings of Markdown, as Markdown.

    A question to predict begins a paragraph of its own.
    """
    text = re.sub(rf"(?<=\S) {re.escape(PREDICT)}", f"\n\n{PREDICT}", text)
    lines = text.split("\n")
    tops = [token for token in _markdown().parse(text) if token.level == 0 and token.map]
    spans = [token.map for token in tops if token.map and token.nesting >= 0]
    return ["\n".join(lines[first:last]).strip() for first, last in spans]


def first_sentences(text: str, letters: int = READING) -> str:
    """Return as many whole sentences of a paragraph as fit into ``letters``, at least one."""
    pieces = SENTENCE.split(text)
    taken = pieces[0]
    for piece in pieces[1:]:
        balanced = all(taken.count(mark) % 2 == 0 for mark in ("$", "`", "**"))
        if balanced and len(_plain(taken + piece)) > letters:
            break
        taken += f" {piece}"
    return taken


def last_sentences(text: str, letters: int = 200) -> str:
    """Return the last sentences of a paragraph, about ``letters`` long, at least one."""
    for place in (found.end() for found in SENTENCE.finditer(text)):
        rest = text[place:]
        balanced = all(rest.count(mark) % 2 == 0 for mark in ("$", "`", "**"))
        if balanced and len(_plain(rest)) <= letters:
            return rest
    return text


def _plain(text: str) -> str:
    """Return about what a reader sees of Markdown: no marks, no commands of formulas."""
    text = re.sub(r"\]\([^)]*\)", "", text)
    return re.sub(r"\\[a-zA-Z]+|[*`$\[\]{}^_\\]", "", text)


# ---- how much fits on a slide ----


def _wide(text: str) -> int:
    """Return the letters of a text; a Korean one is as wide as two."""
    return len(text) + len(re.findall(r"[\u1100-\u11ff\u3000-\ud7ff]", text))


def _text_height(text: str, size: int) -> float:
    """Return about how high Markdown becomes at a font size, in pixels, rather too much."""
    height = 0.0
    for block in blocks(text):
        rows = block.split("\n")
        if block.startswith("$$"):
            height += size * (2.2 + 1.7 * block.count(r"\\") + 1.2 * ("frac" in block))
        elif block.startswith("|"):
            height += size * 1.95 * (len(rows) - 1) + size
        else:
            pieces = rows if re.match(r"[-*] |\d+\. ", block) else [" ".join(rows)]
            lines = [math.ceil(_wide(_plain(p)) * 0.54 * size / WIDTH) for p in pieces]
            height += size * 1.45 * sum(lines) + 0.7 * size
    return height


def _output_height(text: str, size: int) -> float:
    """Return how high printed text becomes, in pixels; a line that is too long goes on below."""
    columns = int((WIDTH - 40) / (0.605 * size))
    rows = sum(max(1, math.ceil(_wide(row) / columns)) for row in text.rstrip("\n").split("\n"))
    return rows * 1.35 * size + 44


def _output_size(text: str, room: float) -> int:
    """Return the largest size at which printed text fits and no line is broken, if there is one."""
    longest = max(map(_wide, text.split("\n")))
    for size in [size for size in SIZES if size <= PRINTED]:
        if _output_height(text, size) <= room and longest * 0.605 * size <= WIDTH - 40:
            return size
    return SMALLEST


def _text(parts: Sequence[str], room: float, largest: int = SIZES[0]) -> str:
    """Return Markdown as a box of HTML, as large as fits into ``room`` pixels."""
    text = "\n\n".join(parts)
    sizes = [size for size in SIZES if size <= largest]
    fitting = [size for size in sizes if _text_height(text, size) <= room]
    return f'<div class="text s{(fitting or [SMALLEST])[0]}">{to_html(text)}</div>'


# ---- the parts of a lesson ----


def _heading(section: str, heading: str) -> str:
    return f'<p class="where">{to_html(section)[3:-5]}</p><h2>{to_html(heading)[3:-5]}</h2>'


def _printed(cell: Any) -> str:
    """Return what a code cell printed."""
    return "".join(o.get("text", "") for o in cell.outputs if o.output_type == "stream").rstrip()


def _numbers(value: ast.expr) -> int:
    """Return how many numbers a list, a dict or an array is written with; 0 if it is computed."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "np.array":
        return _numbers(value.args[0])
    if isinstance(value, ast.List | ast.Tuple):
        parts = [_numbers(part) for part in value.elts]
        return sum(parts) if all(parts) else 0
    if isinstance(value, ast.Dict):
        parts = [_numbers(part) for part in value.values]
        return sum(parts) if all(parts) else 0
    try:
        return int(isinstance(ast.literal_eval(value), int | float | str))
    except ValueError:
        return 0


def given(cells: Sequence[Any], everything: bool = False) -> str:
    """Return the lines of code below a question that only write numbers down, as it names them.

    With ``everything``, for a question that says "below", all that is set before the first print.
    """
    lines = []
    for cell in cells[:3]:
        if cell.cell_type != "code":
            break
        for node in ast.parse(cell.source).body:
            if not isinstance(node, ast.Assign):
                continue
            name = ast.unparse(node.targets[0])
            written = name.isidentifier() and not name.isupper() and _numbers(node.value) > 1
            if written or everything:
                lines.append(ast.get_source_segment(cell.source, node) or "")
        if cell.outputs:
            break
    return "\n".join(lines)


def pictures(cell: Any) -> Iterator[tuple[str, bytes]]:
    """Yield the kind and the bytes of each picture that a code cell made."""
    for output in cell.outputs:
        for kind in IMAGES:
            if kind in output.get("data", {}):
                yield kind, base64.b64decode(output.data[kind])


def _description(cell: Any, lesson: str) -> str:
    """Return the alternative text of a cell's figure; raise CourseError if it has none."""
    text = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
    if not text:
        raise CourseError(
            f"making slides of {lesson}: the figure of the cell {cell.id} has no text for those "
            "who cannot see it. Write it into the metadata, mystnb.image.alt."
        )
    return str(text)


def _reading(cells: Sequence[Any], start: int) -> list[str]:
    """Return the paragraphs that read a result: they begin the next cell of text."""
    for cell in cells[start:]:
        if cell.cell_type == "markdown":
            found = []
            for block in blocks(cell.source):
                if block.startswith(("#", PREDICT)):
                    break
                found.append(block)
            return found
    return []


def _shown(reading: Sequence[str]) -> str:
    """Return what a slide shows of the paragraphs that read a result."""
    first = next((b for b in reading if not b.startswith(("|", "$$", "- ", "1."))), "")
    return first_sentences(first) if first else ""


class Deck:
    """The slides of one lesson, made cell by cell.

    Attributes:
        title: of the lesson.
        minutes: that the lesson takes to read, as it says.
        sections: with their slides.
    """

    def __init__(self, notebook: Notebook, name: str):
        self.name = name
        self.cells = notebook.cells
        self.sections: list[Section] = []
        self.shown: set[str] = set()  # paragraphs of which a slide shows the beginning
        self.title, self.minutes = self._opening()
        for number, cell in enumerate(self.cells[1:], start=1):
            if re.fullmatch(r"quiz-\d+", cell.id):
                self._quiz(cell)
            elif number == len(self.cells) - 1:
                self._closing(cell)
            elif cell.cell_type == "markdown":
                self._prose(number)
            elif cell.cell_type == "code":
                self._figures(number)

    @property
    def slides(self) -> list[Slide]:
        """All slides, in order."""
        return [slide for section in self.sections for slide in section.slides]

    def _add(self, slide: Slide) -> None:
        taken = {other.name for other in self.slides}
        if slide.name in taken:
            count = sum(name.startswith(slide.name) for name in taken)
            slide.name = f"{slide.name}-{count + 1}"
        self.sections[-1].slides.append(slide)

    def _opening(self) -> tuple[str, int]:
        """Make the first slide of the first cell; return the title and the minutes."""
        parts = blocks(self.cells[0].source)
        minutes = re.search(r"\*\*Time:\*\* (\d+) minutes", self.cells[0].source)
        if not minutes or len(parts) < 5:
            raise CourseError(
                f"making slides of {self.name}: its first cell is not a title, a sentence, aims "
                "and **Time:** N minutes. CONTRIBUTING.md shows how it begins."
            )
        heading, purpose, _, aims, *rest = parts
        title = heading.removeprefix("# ")
        self.sections.append(Section(title))
        body = f"<h1>{html.escape(title)}</h1>" + _text([purpose], 140, 32)
        body += '<p class="aims">You will be able to</p>' + _text([aims], 330, 32)
        self._add(Slide("title", "title", body, rest))
        return title, int(minutes[1])

    def _section(self, heading: str, opening: str) -> None:
        self.sections.append(Section(heading))
        body = f"<h2>{to_html(heading)[3:-5]}</h2>"
        if opening:
            body += _text([first_sentences(opening)], 330, 36)
        name = re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")
        self._add(Slide("section", name, body, [opening] if opening else []))

    def _prose(self, number: int) -> None:
        """Begin a section where a cell has a heading; ask what it asks to predict."""
        parts = blocks(self.cells[number].source)
        for place, block in enumerate(parts):
            if block.startswith("## "):
                follows = parts[place + 1] if place + 1 < len(parts) else ""
                asks = place + 2 < len(parts) and parts[place + 2].startswith(PREDICT)
                plain = not (asks or follows.startswith((PREDICT, "|", "$$", "#", "- ")))
                self._section(block[3:], follows if plain else "")
            elif block.startswith(PREDICT):
                self._predict(number, parts[:place], parts[place:])
        self.sections[-1].words += len(self.cells[number].source.split())

    def _context(self, number: int, before: list[str]) -> tuple[list[str], str]:
        """Return what must be known to predict: the text before the question, and printed text."""
        before = [block for block in before if not block.startswith(("#", "**Try it"))]
        kept: list[str] = []
        for block in reversed(before):  # the nearest text, and what leads to a table or formula
            enough = sum(map(len, kept)) > 140
            if enough and not re.match(r"\||\$\$|- |1\.|[a-z]", kept[0]):
                break
            kept.insert(0, block)
        if kept and kept[0] in self.shown:  # the slide before has just said it
            kept[:1] = [] if kept[1:] else [last_sentences(kept[0])]
        printed = ""
        if not before and self.cells[number - 1].cell_type == "code":
            printed = _printed(self.cells[number - 1])
            reading = [c for c in self.cells[:number] if c.cell_type == "markdown"][-1:]
            kept = [b for cell in reading for b in blocks(cell.source)[-1:]]
            kept = [block for block in kept if not block.startswith(("#", PREDICT))]
        return kept, printed if len(printed.split("\n")) <= 9 else ""

    def _predict(self, number: int, before: list[str], question: list[str]) -> None:
        """Put a question on a slide, and its answer on the next."""
        section, cell = self.sections[-1].heading, self.cells[number]
        belongs = [block for block in question[1:] if block.startswith(("$$", "|", "- "))]
        question = [question[0].removeprefix(PREDICT).strip(), *belongs]
        context, printed = self._context(number, before)
        printed = "\n".join(
            filter(None, [printed, given(self.cells[number + 1 :], " below" in question[0])])
        )
        room = HEIGHT - HEADING - (_output_height(printed, 25) if printed else 0)
        while context and _text_height("\n\n".join([*context, *question]), 22) > room - 40:
            context = context[1:]
        asked = _text_height("\n\n".join(question), 36)
        body = _heading(section, "Predict")
        if context:
            body += f'<div class="context">{_text(context, room - asked - 30, 32)}</div>'
            room -= min(_text_height("\n\n".join(context), 32), room - asked)
        if printed:
            body += f'<pre class="s25">{html.escape(printed)}</pre>'
        body += f'<div class="question">{_text(question, room - 20)}</div>'
        self._add(Slide("predict", f"predict-{cell.id}", body, before))
        self._answer(number, question)

    def _answer(self, number: int, question: list[str]) -> None:
        """Answer a question with what the cells below it print and draw, and what is read of it."""
        section, cell = self.sections[-1].heading, self.cells[number]
        printed: list[str] = []
        place = number + 1
        while place < len(self.cells) and self.cells[place].cell_type == "code":
            if text := _printed(self.cells[place]):
                printed.append(text)
            place += 1
        reading = _reading(self.cells, place)
        drawn = any(True for made in self.cells[number + 1 : place] for _ in pictures(made))
        shown = "" if drawn else _shown(reading)
        self.shown.update(reading)
        if not printed and not shown:  # the figure that follows is the answer
            return
        asked = "\n\n".join(question)
        head = _heading(section, "Answer")
        room: float = HEIGHT - HEADING
        if _text_height(asked, SMALLEST) < 110:
            head += f'<div class="asked">{_text(question, 110, 25)}</div>'
            room -= min(_text_height(asked, 25), 110) + 14
        for slide in self._answer_slides(printed, shown, room):
            self._add(Slide("answer", f"answer-{cell.id}", head + slide, reading))

    @staticmethod
    def _answer_slides(printed: list[str], shown: str, room: float) -> Iterator[str]:
        """Yield the bodies of the slides that hold what was printed and what is read of it."""
        read = _text_height(shown, 25) + 20 if shown else 0.0
        body, left = "", room
        for text in printed:
            for piece in _pieces(text, room):
                need = _output_height(piece, SMALLEST)
                if body and need > left:
                    yield body
                    body, left = "", room
                size = _output_size(piece, min(left, max(need, left - read)) if read else left)
                body += f'<pre class="s{size}">{html.escape(piece)}</pre>'
                left -= _output_height(piece, size)
        if shown and read > left and body:
            yield body
            body, left = "", room
        if shown:
            body += f'<div class="fragment reading">{_text([shown], left - 16, 32)}</div>'
        yield body

    def _figures(self, number: int) -> None:
        """Show each figure of a code cell on a slide of its own."""
        cell = self.cells[number]
        drawn = list(pictures(cell))
        if not drawn:
            return
        reading = self._figure_text(number)
        alt = _description(cell, self.name)
        for kind, data in drawn:
            highest, figure = _image(kind, data, alt, HEIGHT - HEADING)
            height, shown = highest, _shown(reading)
            for letters in (READING, 240, 160, 1) if shown else ():
                shown = first_sentences(shown, letters)
                room = HEIGHT - HEADING - _text_height(shown, 22) - 16
                height, figure = _image(kind, data, alt, room)
                if height >= min(FIGURE, highest):
                    break
            body = _heading(self.sections[-1].heading, "Look") + figure
            if shown:
                text = _text([shown], HEIGHT - HEADING - height - 16, 28)
                body += f'<div class="fragment reading">{text}</div>'
            notes = [f"The figure: {alt}", *reading]
            if printed := _printed(cell):
                notes.insert(1, f"```text\n{printed}\n```")
            self._add(Slide("figure", f"figure-{cell.id}", body, notes))

    def _figure_text(self, number: int) -> list[str]:
        """Return the paragraphs that read the figure of a code cell, or announce it; or none."""
        after = number + 1
        while self.cells[after].cell_type == "code":
            if any(True for _ in pictures(self.cells[after])):
                return []  # the text reads the last of several figures in a row
            after += 1
        before = number - 1
        while self.cells[before].cell_type == "code":
            before -= 1
        asked = PREDICT in self.cells[before].source
        if asked or self.cells[after].id.endswith("read"):
            return _reading(self.cells, after)
        last = blocks(self.cells[before].source)[-1]
        sentence = re.split(r"(?<=[.:]) (?=[A-Z])", last)[-1]
        return [sentence] if ANNOUNCED.search(sentence) else []

    def _quiz(self, cell: Any) -> None:
        """Put a question of the quiz, one option at a time; then say which is right, and why."""
        section, number = self.sections[-1].heading, cell.id.removeprefix("quiz-")
        question = cell.source.split("<details>")[0].strip()
        question = re.sub(r"^\*\*\d+\. (.*)\*\*$", r"\1", question, flags=re.S)
        options = DETAILS.findall(cell.source)
        right = [place for place, (_, why) in enumerate(options) if why.startswith("Right.")]
        if len(right) != 1:
            raise CourseError(
                f"making slides of {self.name}: {len(right)} options of {cell.id} begin with "
                '"Right.", and it should be one.'
            )
        asked = _text([question], 200, 34)
        whole = "\n\n".join([question, *(f"X. {option}" for option, _ in options)])
        size = next((s for s in SIZES if s <= 32 and _text_height(whole, s) <= 500), SMALLEST)
        head = _heading(section, f"Question {number}")
        items = [
            f'<li class="fragment" value="{place}">{option}</li>'
            for place, (option, _) in enumerate(options, start=1)
        ]
        body = f'{head}{asked}<ol class="options s{size}">{"".join(items)}</ol>'
        whys = [f"{letter}. {option}: {why}" for letter, (option, why) in zip("ABCD", options)]
        self._add(Slide("quiz", cell.id, body, whys))
        option, why = options[right[0]]
        body = f'{head}<div class="asked">{_text([question], 150, 25)}</div>'
        body += f'<ol class="options s32"><li value="{right[0] + 1}">{option}</li></ol>'
        body += f'<div class="reading">{_text([why], 220, 32)}</div>'
        self._add(Slide("solution", f"{cell.id}-answer", body, whys))

    def _closing(self, cell: Any) -> None:
        """Say again what the reader can do now, and what comes next."""
        heading, now, aims, *rest = blocks(cell.source)
        self.sections.append(Section(heading.removeprefix("## ")))
        body = _heading(self.title, now.strip("*")) + _text([aims], 330, 36)
        if rest:
            body += f'<div class="context">{_text([first_sentences(rest[0], 200)], 140, 28)}</div>'
        self._add(Slide("closing", "closing", body, rest))

    def minutes_of(self, section: Section) -> int:
        """Return about how many of the lesson's minutes a section takes, by its words."""
        words = sum(other.words for other in self.sections)
        return max(1, round(self.minutes * section.words / words))


def _pieces(text: str, room: float) -> Iterator[str]:
    """Cut printed text into pieces that fit on a slide at the smallest size."""
    piece: list[str] = []
    for row in text.split("\n"):
        if piece and _output_height("\n".join([*piece, row]), SMALLEST) > room:
            yield "\n".join(piece)
            piece = []
        piece.append(row)
    yield "\n".join(piece)


def _image(kind: str, data: bytes, alt: str, room: float) -> tuple[int, str]:
    """Return the height and the HTML of a figure, as large as fits, at most 1.7 times its size."""
    width, height = imagesize.get(io.BytesIO(data))
    scale = min(WIDTH / width, room / height, 1.7)
    source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    across, up = round(width * scale), round(height * scale)
    size = f'width="{across}" height="{up}"'
    return up, f'<img {size} alt="{html.escape(alt)}" src="{source}">'


# ---- a deck as a file ----

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main class="reveal"><div class="slides">
{sections}
</div></main>
<script>{script}</script>
<script>{start}</script>
</body>
</html>
"""
# A deck can ask nobody for anything, not even by mistake. (A frame: the speaker's window shows the
# deck twice.)
POLICY = (
    "default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; frame-src 'self' file:"
)
START = """
const looks = document.documentElement.dataset;
Reveal.initialize({
  width: 1280, height: 720, margin: 0, center: false, transition: 'none', hash: true,
  navigationMode: 'linear', slideNumber: 'c/t', pdfSeparateFragments: false,
  totalTime: MINUTES * 60, plugins: [RevealNotes],
});
Reveal.addKeyBinding({keyCode: 68, key: 'D', description: 'Dark or light'}, () => {
  const dark = looks.theme || (matchMedia('(prefers-color-scheme: dark)').matches && 'dark');
  looks.theme = dark === 'dark' ? 'light' : 'dark';
});
"""


def reveal() -> Path:
    """Return the folder of reveal.js; raise CourseError if it is not installed."""
    found = importlib.util.find_spec("sphinx_revealjs")
    for place in (found.submodule_search_locations if found else None) or []:
        folder = Path(place) / "_static" / "revealjs"
        if (folder / "dist" / "reveal.js").is_file():
            return folder
    raise CourseError(
        "making slides: reveal.js is not there. It comes with the package sphinx-revealjs; "
        "install what requirements.txt names with: make setup"
    )


def _notes(deck: Deck, section: Section, slide: Slide) -> str:
    notes = list(slide.notes)
    if slide is section.slides[0] and section.words:
        about = f"**About {deck.minutes_of(section)} of {deck.minutes} minutes.**"
        notes.insert(0, about)
    return f'<aside class="notes">{to_html(chr(10).join([*"", *_joined(notes)]))}</aside>'


def _joined(notes: Sequence[str]) -> Iterator[str]:
    for note in notes:
        yield note
        yield ""


def page(deck: Deck) -> str:
    """Return the HTML of a deck, with everything that it needs."""
    files = reveal()
    scripts = [files / "dist" / "reveal.js", files / "plugin" / "notes" / "notes.js"]
    styles = [files / "dist" / "reset.css", files / "dist" / "reveal.css", STYLE]
    font = base64.b64encode(FONT.read_bytes()).decode()
    stacks = []
    for section in deck.sections:
        inner = [
            f'<section id="{slide.name}" class="{slide.kind}">{slide.body}'
            f"{_notes(deck, section, slide)}</section>"
            for slide in section.slides
        ]
        if inner:
            stacks.append("<section>\n" + "\n".join(inner) + "\n</section>")
    return PAGE.format(
        policy=POLICY,
        title=html.escape(deck.title),
        style="\n".join(f.read_text(encoding="utf-8") for f in styles).replace("FONT", font),
        sections="\n".join(stacks),
        script="\n".join(file.read_text(encoding="utf-8") for file in scripts),
        start=START.replace("MINUTES", str(deck.minutes)),
    )


def make(path: Path) -> Deck:
    """Return the deck of the lesson at ``path``.

    Raises:
        CourseError: the lesson is not what the page CONTRIBUTING.md asks for.
    """
    return Deck(read(path), path.stem)


def build(paths: Sequence[Path], out: Path = OUT) -> list[Path]:
    """Write a deck for each lesson into ``out``, and a page that lists all; return the decks."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for path in paths:
        deck = make(path)
        file = out / f"{path.stem}.html"
        file.write_text(page(deck), encoding="utf-8")
        written.append(file)
    links = [f'<li><a href="{f.name}">{f.stem}</a></li>' for f in sorted(out.glob("[0-9]*.html"))]
    (out / "index.html").write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Slides</title>'
        '<body style="font: 1.5rem/1.8 system-ui, sans-serif; margin: 2rem"><h1>Slides</h1>'
        f"<ul>{''.join(links)}</ul><p>In a deck: space goes on, S opens the speaker's window, "
        "D changes dark and light, Esc shows all slides, ? the other keys.</p></body></html>\n",
        encoding="utf-8",
    )
    return written


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m tools.slides")
    parser.add_argument("names", nargs="*", help="lessons, such as 02; all if none is named")
    names = parser.parse_args().names
    known = set(lessons())
    for file in build([path for path in select(names) if path in known]):
        print(f"{file.relative_to(ROOT)}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    run_tool(main)
