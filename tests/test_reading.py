"""Written answers are read by keyboard, saved as one goes, and a hostile one does nothing."""

import asyncio
import json
import threading
import urllib.error
import urllib.request

import pytest
from axe_playwright_python.sync_playwright import Axe
from nbgrader.api import Gradebook
from playwright.sync_api import expect

from tools import browser, exercises
from tools.errors import CourseError
from tools.grading import demo, grade, gradebook, reading, score, submissions

STEM = "01_convolution_by_hand"
PLACE = f"{STEM}/answer-7"
HOSTILE = {
    "script": "<script>document.title = 'RUN'</script>",
    "error": "<img src=x onerror=\"document.title='RUN'\">",
    "pictures": "![a](http://example.org/a.png) [b](javascript:document.title='RUN') <http://example.org/>",
    "data": '<a href="data:text/html,<script>1</script>">x</a> ![](data:image/svg+xml,<svg>)',
    "end": "</textarea></article></script><h1>out</h1> \" ' > &amp; {{ token }} {% raw 1 %}",
    "long": "word " * 20_000,
    "deep": "> " * 3000 + "x",
    "formula": "so $\\frac{1}{2}$, but $\\frac{1$ and $<img src=x>$ stay",
    "korean": "특성맵은 9개의 가중치를 나눠 쓴다.",
    "empty": "",
}  # fmt: skip


def hand_in(name, text):
    """Return a row of a run: a right hand-in with these words in its written answer."""
    path = grade.master_of(STEM)
    notebook = demo.handed_in(path, {"answer-7": f"**Answer 7**\n\n{text}"})
    student = submissions.Student(name=name)
    made = submissions.Submission(student, f"{name}.ipynb", name, STEM, key=f"{name}-{STEM}")
    made.notebook = notebook
    questions = [score.Question(c, most, most, "passed") for c, most in demo.maxima(path).items()]
    questions.append(score.Question("answer-7", 2.0, None, "to read"))
    return made, score.Result(questions=questions)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    texts = {**HOSTILE, **{f"student{n}": f"It shares its weights, {n}." for n in range(18)}}
    texts |= {"twin1": "The same  words.", "twin2": "The same words."}
    folder = tmp_path_factory.mktemp("graded")
    gradebook.write([hand_in(name, text) for name, text in texts.items()], folder)
    return folder


@pytest.fixture(scope="module")
def address(out):
    found, ready = [], threading.Event()

    def tell(line):
        found.append(line.split()[0])
        ready.set()

    thread = threading.Thread(target=asyncio.run, args=(reading.serve(out, 0, tell),), daemon=True)
    thread.start()
    assert ready.wait(20)
    return found[0]


@pytest.fixture(scope="module")
def chromium():
    if not browser.executable():
        pytest.skip("the page for answers was not looked at: no Chromium is on the PATH")
    with browser.chromium() as started:
        yield started


def opened(chromium, address, **settings):
    """Return the page, and a list that gets its errors and requests to other places."""
    page, wrong = chromium.new_context(**settings).new_page(), []
    page.on("console", lambda told: wrong.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(address) else wrong.append(r.url))
    page.goto(f"{address}/{PLACE}")
    return page, wrong


def says(page, number, text):
    """Wait until the card with this number says a text about its mark."""
    expect(page.locator(".state").nth(number)).to_contain_text(text)


def in_the_gradebook(out):
    with Gradebook(f"sqlite:///{out / 'gradebook.db'}") as book:
        grades = book.find_submission_notebook
        found = {}
        for submission in book.assignment_submissions(STEM):
            for one in grades(STEM, STEM, submission.student.id).grades:
                if one.name == "answer-7":
                    found[submission.student.id] = one.manual_score
        return found


def test_three_answers_by_keyboard_alone(chromium, address, out):
    page, wrong = opened(chromium, address)
    cards = page.locator("article")
    assert cards.count() == 30 and page.locator("#read").text_content() == "0 of 30 read"
    assert "student" not in page.locator("main").inner_text()  # anonymous by default
    while not page.evaluate("document.activeElement.matches('article')"):
        page.keyboard.press("Tab")
    for key in "2", "j", "1", "h", "c":
        page.keyboard.press(key)
    page.keyboard.type("Say which weights. 0 h j")
    page.keyboard.press("Enter")
    for key in "j", "0":
        page.keyboard.press(key)
    for number, said in enumerate(["saved: 2 of 2", "saved: 1.5 of 2", "saved: 0 of 2"]):
        says(page, number, said)
    page.reload()
    assert page.locator("#read").text_content() == "3 of 30 read"
    assert page.locator("article textarea").nth(1).input_value() == "Say which weights. 0 h j"
    keys = [cards.nth(n).get_attribute("data-key") for n in range(3)]
    marks = in_the_gradebook(out)
    assert [marks[key] for key in keys] == [2, 1.5, 0]
    cards.nth(2).focus()
    page.keyboard.press("x")
    says(page, 2, "taken back")
    assert in_the_gradebook(out)[keys[2]] is None
    assert wrong == []


def test_hostile_answers_load_and_run_nothing(chromium, address):
    page, wrong = opened(chromium, address)
    page.wait_for_timeout(300)
    assert wrong == [] and page.title().startswith("Exercise 01")
    words = page.locator(".words")
    assert words.locator("img, script, a, svg, iframe").count() == 0
    assert page.locator("h1", has_text="out").count() == 0
    assert words.locator("math").count() == 2  # of which one says "<img src=x>" in letters
    assert page.locator("article").count() == 30


def test_names_are_shown_when_asked_for(chromium, address):
    page, _ = opened(chromium, address)
    page.get_by_text("Show names").click()
    assert "student3" in page.locator("main").inner_text()


def test_answers_with_the_same_words_get_one_mark(chromium, address, out):
    page, _ = opened(chromium, address)
    page.on("dialog", lambda dialog: dialog.accept())
    card = page.locator("article", has=page.locator(".alike")).first
    card.locator("[data-value='1.0']").click()
    card.locator(".alike").click()
    expect(page.locator(".state", has_text="saved: 1 of 2")).to_have_count(2)
    marks = in_the_gradebook(out)
    assert marks[f"twin1-{STEM}"] == marks[f"twin2-{STEM}"] == 1


def test_what_is_not_saved_is_said_and_kept(chromium, address):
    page, _ = opened(chromium, address)
    page.route(
        "**/answer-7",
        lambda route: route.abort() if route.request.method == "POST" else route.continue_(),
    )
    page.locator("article").nth(5).focus()
    page.keyboard.press("1")
    says(page, 5, "NOT SAVED")
    assert page.locator("article").nth(5).get_attribute("data-points") == "1"


def test_an_answer_that_has_changed_since_is_not_overwritten(chromium, address, out):
    page, _ = opened(chromium, address)
    page.evaluate("document.querySelectorAll('article')[7].dataset.digest = 'of an earlier text'")
    page.locator("article").nth(7).focus()
    page.keyboard.press("1")
    says(page, 7, "has changed since")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_and_axe_finds_nothing_serious(chromium, address, width, scheme):
    size = {"width": width, "height": 900}
    page, _ = opened(chromium, address, viewport=size, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response["violations"]
    assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []


def posted(address, headers):
    body = json.dumps({"key": f"empty-{STEM}", "points": 2, "comment": "", "digest": ""}).encode()
    request = urllib.request.Request(f"{address}/{PLACE}", body, headers, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    return refused.value.code


def test_other_sites_and_other_names_are_refused(address, out):
    """No token, another site's, and a name that leads here by another site's DNS."""
    assert posted(address, {"Origin": address}) == 403
    assert posted(address, {"Origin": "http://evil.example", "X-Token": "x"}) == 403
    assert posted(address, {"Host": "evil.example:80", "Origin": "http://evil.example:80"}) == 403
    assert in_the_gradebook(out)[f"empty-{STEM}"] is None


def test_without_a_gradebook_it_says_so(tmp_path):
    with pytest.raises(CourseError, match="gradebook"):
        reading.application(tmp_path)


def test_the_release_is_the_one_that_is_asked(out):
    (question,) = gradebook.written(out)
    released = exercises.release(grade.master_of(STEM))
    asked = next(cell.source for cell in released.cells if cell.id == "question-7")
    assert question.asked == asked and "Rubric" in question.model
