"""The decks of slides: each holds what its lesson has, and every slide is looked at in Chromium."""

import re

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat import v4

from tools import browser, notebooks, slides
from tools.errors import CourseError

LESSONS = notebooks.lessons()
FULLEST = next(path for path in LESSONS if path.stem[:2] == "05")
SIZE = {"width": 1280, "height": 720}
seen = pytest.mark.skipif(
    not browser.executable(),
    reason="the slides were not looked at: no Chromium is on the PATH (apt-get install chromium)",
)


@pytest.fixture(scope="module")
def decks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    slides.build(LESSONS, folder)
    return folder


def soup_of(decks, path):
    return BeautifulSoup((decks / f"{path.stem}.html").read_text("utf-8"), "html.parser")


# ---- without a browser ----


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_deck_has_what_its_lesson_asks_draws_and_checks(decks, path):
    cells = notebooks.read(path).cells
    soup = soup_of(decks, path)
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert len(soup.select("section.predict")) == text.count("**Predict.**")
    code = [cell for cell in cells if cell.cell_type == "code"]
    kinds = [kind for cell in code for kind, _ in slides.pictures(cell)]
    figures = soup.select("section.figure img")
    assert len(figures) == len(kinds)
    assert all(image["alt"] and int(image["width"]) > 100 for image in figures)
    questions = [cell for cell in cells if re.fullmatch(r"quiz-\d+", cell.id)]
    assert len(soup.select("section.quiz")) == len(soup.select("section.solution")) > 2
    for cell in questions:
        options = re.findall(r"<summary>(.*?)</summary>", cell.source)
        shown = [item.decode_contents() for item in soup.select(f"#{cell.id} .options li.fragment")]
        assert shown == options
        right = re.search(r"<summary>([^<]*(?:<(?!/summary)[^<]*)*)</summary>Right\.", cell.source)
        answer = soup.select_one(f"#{cell.id}-answer .options li")
        assert answer.decode_contents() == right[1] == options[int(answer["value"]) - 1]
    aims = re.findall(r"^- (.*)", cells[0].source, re.M)
    assert len(soup.select("section.title li")) == len(aims) == len(soup.select(".closing li"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_deck_is_one_file_that_asks_nobody(decks, path):
    soup = soup_of(decks, path)
    for tag in soup.find_all(["script", "link", "img", "iframe", "a", "source"]):
        assert not tag.get("href"), tag
        assert tag.get("src", "data:").startswith("data:"), tag["src"][:100]
    styles = "".join(tag.text for tag in soup.find_all("style"))
    addresses = re.findall(r"url\(\s*[\"']?(.{5})", styles)
    assert set(addresses) == {"data:"} and "@import" not in styles
    names = [tag["id"] for tag in soup.find_all(id=True)]
    assert len(names) == len(set(names))
    assert "$" not in "".join(tag.text for tag in soup.select("section :is(p, li)"))
    assert "connect-src" not in slides.POLICY and slides.POLICY.startswith("default-src 'none'")


def test_an_answer_follows_its_question_with_what_the_cell_printed(decks):
    soup = soup_of(decks, LESSONS[0])
    question = soup.find(id="predict-one-dimension-predict")
    assert "How many places" in question.text and "signal: [3 1 4 1 5 9]" in question.pre.text
    answer = question.find_next_sibling("section")
    assert answer["id"] == "answer-one-dimension-predict"
    assert "y[0] = 3*(1) + 1*(2) + 4*(-1) = 1" in answer.pre.text
    assert "y[0] =" not in question.text


def test_notes_tell_the_minutes_and_what_the_lesson_says(decks):
    for path in LESSONS:
        deck = slides.make(path)
        told = [deck.minutes_of(section) for section in deck.sections if section.words]
        assert abs(sum(told) - deck.minutes) <= len(told) / 2 + 1, path.stem
    notes = soup_of(decks, LESSONS[0]).select_one("#figure-one-dimension-drawn .notes").text
    assert notes.startswith("The figure: ")


def test_numbers_that_a_question_needs_are_given_and_results_are_not():
    code = (
        "losses = [0.5, 0.4]\nmask = np.array([1, 0])\nSIZES = [1, 2]\nbest = min(losses)\nx = 3\n"
    )
    cells = [v4.new_code_cell(code)]
    assert slides.given(cells) == "losses = [0.5, 0.4]\nmask = np.array([1, 0])"
    assert "best" in slides.given(cells, everything=True)
    assert slides.given([v4.new_markdown_cell("no code"), *cells]) == ""


def test_sentences_are_cut_where_they_end():
    text = "One is `a.b`. Two is $x. Y$. Three (see above.) And four."
    assert slides.first_sentences(text, 1) == "One is `a.b`."
    assert slides.first_sentences(text, 20) == "One is `a.b`. Two is $x. Y$."
    assert slides.last_sentences(text, 12) == "And four."
    assert slides.first_sentences(text) == text


def lesson(**changes):
    """Return a small lesson as a notebook; ``changes`` replace the source of cells by their id."""
    quiz = "**1. Which?**\n\n<details><summary>a</summary>Right. So.</details>\n"
    quiz += "<details><summary>b</summary>No.</details>"
    cells = {
        "title": "# Lesson 99: X\n\nWhat for.\n\n**You will be able to**\n\n- add.\n\n"
        "**Time:** 10 minutes to read.",
        "one": "## One\n\nTwo numbers, $a$ and $b$. **Predict.** Their sum?",
        "quiz-1": quiz,
        "closing": "## Where you stand\n\n**You can now**\n\n- add.",
    } | changes
    made = [v4.new_markdown_cell(source) for source in cells.values()]
    for cell, name in zip(made, cells):
        cell.id = name
    picture = {"image/png": slides.base64.b64encode(PNG).decode()}
    drawn = v4.new_code_cell("draw()", outputs=[v4.new_output("display_data", picture)])
    drawn.id = "drawn"
    drawn.metadata["mystnb"] = {"image": {"alt": "A dot."}}
    return nbformat.from_dict(v4.new_notebook(cells=[*made[:2], drawn, *made[2:]]))


PNG = slides.base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_what_a_lesson_lacks_is_named():
    assert [s.kind for s in slides.Deck(lesson(), "99_x").slides] == [
        "title", "section", "predict", "figure", "quiz", "solution", "closing",
    ]  # fmt: skip
    with pytest.raises(CourseError, match=r"99_x: its first cell .* \*\*Time:\*\* N"):
        slides.Deck(lesson(title="# X\n\nFor.\n\nYou\n\n- add."), "99_x")
    with pytest.raises(CourseError, match="2 options of quiz-1"):
        both = lesson()["cells"][3].source.replace(">No.", ">Right.")
        slides.Deck(lesson(**{"quiz-1": both}), "99_x")
    with pytest.raises(CourseError, match="Mend the formula"):
        slides.Deck(lesson(one=r"## One" + "\n\n" + r"It is $\nocommand{2}$, he said."), "99_x")
    blind = lesson()
    del blind["cells"][2]["metadata"]["mystnb"]
    with pytest.raises(CourseError, match="the figure of the cell drawn has no text"):
        slides.Deck(blind, "99_x")


def test_without_reveal_the_way_on_is_told(monkeypatch):
    monkeypatch.setattr(slides.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CourseError, match="sphinx-revealjs.*make setup"):
        slides.reveal()


# ---- in Chromium ----

# What sticks out of its slide, or is too small to be read from the last row.
MEASURE = """() => {
  const wrong = [];
  const slides = [...document.querySelectorAll('.slides > section > section')];
  for (const slide of slides) {
    const place = Reveal.getIndices(slide);
    Reveal.slide(place.h, place.v, 99);
    for (const part of slide.querySelectorAll('*')) {
      if (part.closest('aside') || part.parentElement.closest('math')) continue;
      const box = part.getBoundingClientRect();
      if (!box.width) continue;
      const out = box.bottom > 721 || box.right > 1281 || box.left < -1 || box.top < -1;
      const hidden = getComputedStyle(part).visibility === 'hidden';
      const name = `${slide.id}: ${part.tagName}`;
      if (out || hidden) wrong.push(`${name} ${out ? 'sticks out' : 'hidden'}`);
      const words = [...part.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
      const size = parseFloat(getComputedStyle(part).fontSize);
      if (words && size < 20) wrong.push(`${name} of ${size} pixels`);
      const image = part.tagName === 'IMG';
      if (image && !(part.alt && part.naturalWidth)) wrong.push(`${name} without a text`);
    }
  }
  return [slides.length, wrong];
}"""


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as started:
        yield started


@pytest.fixture
def visit(chromium, decks):
    """Open a deck from its file; at the end, fail on console errors and requests elsewhere."""
    contexts, troubles = [], []

    def note(request):
        if not request.url.startswith(("file:", "data:", "blob:", "about:")):
            troubles.append(f"a request to another host: {request.url}")

    def open_deck(path, query="", **how):
        context = chromium.new_context(viewport=SIZE, **how)
        contexts.append(context)
        context.on("request", note)
        page = context.new_page()
        page.on("console", lambda m: m.type in ("error", "warning") and troubles.append(m.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto((decks / f"{path.stem}.html").as_uri() + query)
        return page

    yield open_deck
    for context in contexts:
        context.close()
    assert troubles == []


@seen
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_slide_is_whole_and_can_be_read_from_the_last_row(visit, path):
    count, wrong = visit(path).evaluate(MEASURE)
    assert wrong == []
    assert count == len(slides.make(path).slides) > 45


@seen
def test_the_measure_finds_what_is_wrong(visit):
    page = visit(FULLEST)
    page.evaluate("""() => {
      document.querySelector('#title p').style.fontSize = '19px';
      document.querySelector('#title ul').style.marginTop = '500px';
      document.querySelector('.figure img').alt = '';
    }""")
    _, wrong = page.evaluate(MEASURE)
    assert "title: P of 19 pixels" in wrong and "title: LI sticks out" in wrong
    assert sum("IMG without" in line for line in wrong) == 1


@seen
def test_the_keyboard_goes_on_one_step_at_a_time(visit):
    page = visit(FULLEST, "#/quiz-1")
    options = page.locator("#quiz-1 .options li")
    for shown in range(options.count() + 1):
        visible = options.evaluate_all(
            "all => all.filter((e) => getComputedStyle(e).visibility === 'visible').length"
        )
        assert visible == shown
        page.keyboard.press("Space")
    assert page.evaluate("Reveal.getCurrentSlide().id") == "quiz-1-answer"
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("Reveal.getCurrentSlide().id") == "quiz-1"
    page.keyboard.press("Escape")
    assert page.evaluate("Reveal.isOverview()")


@seen
def test_light_and_dark_and_by_a_key(visit):
    shade = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    for scheme in ("light", "dark"):
        page = visit(FULLEST, color_scheme=scheme)
        first = sum(page.evaluate(shade))
        page.keyboard.press("d")
        second = sum(page.evaluate(shade))
        assert (first > 700, second > 700) == (scheme == "light", scheme == "dark")
        assert min(first, second) < 120


@seen
def test_the_speaker_has_a_window_of_notes(visit):
    page = visit(FULLEST, "#/quiz-1")
    with page.context.expect_page() as opened:
        page.keyboard.press("s")
    notes = opened.value.locator(".speaker-controls-notes .value")
    notes.get_by_text("Right. The first filters grow").wait_for(timeout=10_000)


@seen
def test_it_can_be_printed_a_slide_a_page_or_as_a_handout(visit, tmp_path):
    from pypdf import PdfReader

    path = FULLEST
    count = len(slides.make(path).slides)
    pages = {}
    for name, query in (("slides", "?print-pdf"), ("handout", "")):
        page = visit(path, query)
        page.wait_for_function("Reveal.isReady()")
        if query:
            page.locator(".pdf-page").nth(count - 1).wait_for(timeout=10_000)
        page.pdf(path=tmp_path / name, prefer_css_page_size=True, print_background=True)
        pages[name] = PdfReader(tmp_path / name).pages
    assert len(pages["slides"]) == count
    assert len(pages["handout"]) < 0.7 * count
    assert "Right. The first filters grow" in "".join(p.extract_text() for p in pages["handout"])
