"""The built website in a real browser: as a reader with a mouse, a keyboard, a phone, a file.

The book is built once into a folder of its own, for a repository that is named here, and served
compressed on 127.0.0.1. Without Chromium these tests are skipped, and say so.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup

from tests.scoring import functions_of
from tools import bands, browser, export_network, notebooks
from tools.serve import serving

pytestmark = pytest.mark.skipif(
    not browser.executable(),
    reason="the website was not looked at: no Chromium is on the PATH (apt-get install chromium)",
)

REPOSITORY = "https://github.com/owner/name"
SITE = "https://owner.github.io/name/"
PAGES = [
    str(path.relative_to(notebooks.ROOT).with_suffix(".html"))
    for path in [
        notebooks.ROOT / "index.md",
        *sorted((notebooks.ROOT / "book").glob("*.md")),
        *notebooks.lessons(),
        *notebooks.releases(),
    ]
] + ["search.html"]
LESSON = "notebooks/02_padding_and_stride.html"
EXERCISE = "exercises/02_padding_and_stride/02_padding_and_stride.html"
ONE_OF_EACH_KIND = {"index.html", LESSON, EXERCISE, "search.html"} | {
    f"book/{name}.html" for name in ("playground", "live_network", "glossary", "bibliography")
}
PHONE, WIDE = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
MOST_KIB = 300  # a lesson page without its figures, compressed


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [
        Path(sys.executable).with_name("jupyter-book"),
        "build",
        ".",
        "-W",
        "-n",
        "--keep-going",
    ]
    done = subprocess.run(
        [*command, "--path-output", str(folder)],
        cwd=notebooks.ROOT,
        env=os.environ | {"COURSE_REPOSITORY": REPOSITORY},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "_build" / "html"


@pytest.fixture(scope="module")
def site(html):
    with serving(html) as address:
        yield address


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as started:
        yield started


@pytest.fixture
def visit(chromium, site):
    """Open pages; at the end of the test, fail on console errors and foreign requests."""
    contexts, troubles = [], []

    def note(request):
        if not request.url.startswith((site, "file:", "data:", "blob:")):
            troubles.append(f"a request to another host: {request.url}")

    def open_page(address, viewport=WIDE, **how):
        context = chromium.new_context(viewport=viewport, **how)
        context.set_default_timeout(10_000)  # milliseconds
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: m.type in ("error", "warning") and troubles.append(m.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", note)
        page.on("response", lambda r: r.status >= 400 and troubles.append(f"{r.status}: {r.url}"))
        page.goto(address if ":" in address else f"{site}/{address}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.fixture(scope="module")
def soups(html):
    return {name: BeautifulSoup((html / name).read_text("utf-8"), "html.parser") for name in PAGES}


# ---- every page ----


@pytest.mark.parametrize("name", PAGES)
def test_page_is_clean_accessible_and_fits_a_phone(visit, name):
    page = visit(name, PHONE)
    width = page.evaluate("document.scrollingElement.scrollWidth")
    assert width <= PHONE["width"], f"the page is {width} pixels wide"
    page.set_viewport_size(WIDE)
    for scheme in ("light", "dark") if name in ONE_OF_EACH_KIND else ("light",):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = Axe().run(page).response["violations"]
        serious = [
            f"{scheme}: {rule['id']}: {node['html'][:150]}"
            for rule in found
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"][:3]
        ]
        assert serious == []


def test_axe_finds_what_is_wrong(chromium):
    page = chromium.new_page()
    page.set_content("<img src='data:,x'><button></button>")
    found = {rule["id"] for rule in Axe().run(page).response["violations"]}
    page.close()
    assert {"image-alt", "button-name"} <= found


def test_light_and_dark(visit):
    shades = {}
    for scheme in ("light", "dark"):
        page = visit(LESSON, color_scheme=scheme)
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        shades[scheme] = sum(int(n) for n in re.findall(r"\d+", colour)[:3])
    assert shades["light"] > 700 and shades["dark"] < 100
    page = visit(LESSON, color_scheme="light")
    page.locator(".theme-toggle-content button").click()  # from automatic to a choice of one's own
    assert page.evaluate("document.body.dataset.theme") in ("light", "dark")


def broken_targets(html, pages):
    """Return internal links of the built pages whose file or anchor is not there."""
    ids = {
        name: {tag[key] for key in ("id", "name") for tag in soup.find_all(attrs={key: True})}
        for name, soup in pages.items()
    }
    broken = []
    for name, soup in pages.items():
        for tag, key in (("a", "href"), ("img", "src"), ("script", "src"), ("link", "href")):
            for node in soup.find_all(tag, attrs={key: True}):
                target = urlsplit(node[key])
                if target.scheme or target.netloc:
                    continue
                path = os.path.normpath(Path(name).parent / unquote(target.path))
                path = name if not target.path else path
                anchor = unquote(target.fragment)
                if (
                    not (html / path).is_file()
                    or anchor
                    and path in ids
                    and anchor not in ids[path]
                ):
                    broken.append(f"{name}: {node[key]}")
    return broken


def test_no_link_or_anchor_is_broken(html, soups):
    assert broken_targets(html, soups) == []


def test_pages_can_be_found_and_shared(html, soups):
    for name, soup in soups.items():
        assert soup.html["lang"] == "en" and soup.title.text.strip(), name
        if name == "search.html":
            continue
        description = soup.find("meta", attrs={"name": "description"})
        assert description and len(description["content"]) > 40, name
        assert soup.find("link", rel="canonical")["href"].startswith(SITE), name
        image = soup.find("meta", property="og:image")["content"]
        assert (html / image.removeprefix(SITE)).is_file(), image
        assert soup.find("meta", property="og:title")["content"], name
    listed = set(re.findall(r"<loc>([^<]+)</loc>", (html / "sitemap.xml").read_text("utf-8")))
    assert {f"{SITE}{name}" for name in PAGES if name != "search.html"} <= listed


def test_every_lesson_opens_on_colab_from_one_page(soups):
    links = soups["book/run.html"].find("article").find_all("a")
    found = [a["href"] for a in links if "colab.research.google.com/github" in a["href"]]
    stems = [Path(address).stem for address in found]
    assert stems == [path.stem for path in notebooks.lessons()]


def test_figures_come_late_and_move_nothing(soups):
    for name, soup in soups.items():
        for image in soup.find("article").find_all("img"):
            assert image.get("loading") == "lazy" and image.get("alt"), name
            assert int(image["width"]) > 0 and int(image["height"]) > 0, name


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("notebooks/")])
def test_a_lesson_is_light_and_knows_when_it_ran(visit, name):
    page = visit("search.html")
    weights = []

    def weigh(response):
        if response.request.resource_type != "image":
            sizes = response.request.sizes()
            weights.append(sizes["responseBodySize"] + sizes["responseHeadersSize"])

    page.on("requestfinished", lambda request: weigh(request.response()))
    page.goto(page.url.replace("search.html", name), wait_until="networkidle")
    assert 10_000 < sum(weights) < MOST_KIB * 1024
    colab = page.locator("a.course-button").first.get_attribute("href")
    stem = name.removesuffix(".html")
    assert colab == f"https://colab.research.google.com/github/owner/name/blob/main/{stem}.ipynb"
    line = page.locator(".course-verified").inner_text()
    assert re.search(r"Last verified 20\d\d-\d\d-\d\d: .*TensorFlow 2\.\d+.* CPU cores", line)
    assert page.locator(".related-pages a").count() == 2
    assert page.locator("article details").count() >= 12  # four questions, three or four options


def test_a_quiz_answers_at_once_by_keyboard(visit):
    page = visit(LESSON)
    option = page.locator("article details", has_text="4 windows, 3 cells unseen").first
    assert "Right." not in option.inner_text()
    option.locator("summary").focus()
    page.keyboard.press("Enter")
    assert "Right. The windows start at 0, 4, 8 and 12." in option.inner_text()


# ---- without a server ----


@pytest.mark.parametrize(
    "name", ["index.html", LESSON, "book/playground.html", "book/live_network.html"]
)
def test_it_works_from_a_file(visit, html, name):
    page = visit((html / name).as_uri())
    assert page.locator("h1").count() == 1
    if name == LESSON:
        assert page.locator("article math").count() > 20
    else:
        page.locator(".pg-output .pg-cell, .net-maps").first.wait_for()


@pytest.mark.parametrize("place", ["site", "file"])
@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("padding", "notebooks/02_padding_and_stride.html"),
        ("패딩", "notebooks/02_padding_and_stride.html"),
        ("convolution", "notebooks/01_convolution_by_hand.html"),
        ("합성곱", "notebooks/01_convolution_by_hand.html"),
        ("dropout", "notebooks/07_dropout_and_augmentation.html"),
    ],
)
def test_search(visit, site, html, place, word, expected):
    start = f"{site}/index.html" if place == "site" else (html / "index.html").as_uri()
    page = visit(start)
    box = page.locator("input[name=q]").first
    box.fill(word)
    box.press("Enter")
    page.locator(".search-summary").get_by_text("finished").wait_for()
    found = page.locator("#search-results li a").evaluate_all("all => all.map(a => a.href)")
    assert any(expected in address for address in found), found


# ---- the playground ----


def random_settings(count, seed=0):
    """Return settings as the page holds them; about one in four is impossible."""
    rng = np.random.default_rng(seed)
    settings = []
    for _ in range(count):
        rows, columns, height, width = (int(n) for n in rng.integers(1, [9, 9, 5, 5]))
        if rng.random() < 0.25:
            rows = height = 1
        settings.append(
            {
                "operation": str(rng.choice(["convolution", "convolution", "max", "average"])),
                "input": rng.integers(-9, 10, (rows, columns)).tolist(),
                "kernel": (rng.integers(-12, 13, (height, width)) / 4).tolist(),
                "stride": int(rng.integers(1, 5)),
                "dilation": int(rng.choice([1, 1, 2, 3])),
                "padding": [*("valid", "same") * 2, "full", 1, 2][rng.integers(7)],
            }
        )
    return settings


def by_the_lesson(setting):
    """Return the output of a setting by the functions of lessons 02 and 03, or None if none."""
    x, kernel = np.array(setting["input"], float), np.array(setting["kernel"], float)
    stride, padding, dilation = (setting[name] for name in ("stride", "padding", "dilation"))
    try:
        if setting["operation"] == "convolution":
            if len(x) == len(kernel) == 1 and isinstance(padding, int):  # a row has no height
                x, padding = np.pad(x, [(0, 0), (padding, padding)]), "valid"
            conv2d_grey = functions_of("02_padding_and_stride")["conv2d_grey"]
            return conv2d_grey(x, kernel, stride=stride, padding=padding, dilation=dilation)
        if dilation != 1:
            return None  # the lesson's pool has no dilation
        reduce = {"max": np.nanmax, "average": np.nanmean}[setting["operation"]]
        pool = functions_of("03_pooling")["pool"]
        return pool(x[None, :, :, None], reduce, kernel.shape, stride, padding)[0, :, :, 0]
    except ValueError:
        return None


SLIDE = """settings => settings.map((setting) => {
  try {
    return Convolution.slide(setting).outputs.map((row) => row.map((cell) => cell.value));
  } catch (error) {
    if (!(error instanceof Convolution.Impossible)) throw error;
    return error.message;
  }
})"""


def test_a_thousand_random_settings_agree_with_the_lessons(visit, record_property):
    page, settings = visit("book/playground.html"), random_settings(1000)
    possible = 0
    for setting, ours in zip(settings, page.evaluate(SLIDE, settings), strict=True):
        theirs = by_the_lesson(setting)
        if theirs is None:
            assert isinstance(ours, str) and len(ours) > 40, setting
        else:
            possible += 1
            assert np.shape(ours) == theirs.shape and np.allclose(ours, theirs, atol=1e-9), setting
    assert 500 < possible < 900
    record_property("measured", f"playground: 1,000 settings agree, {possible} of them possible")


def test_examples_are_the_anchors_of_the_page_and_agree_with_the_lessons(visit):
    page = visit("book/playground.html")
    examples = page.evaluate("Playground.EXAMPLES")
    text = (notebooks.ROOT / "book" / "playground.md").read_text("utf-8")
    assert re.findall(r"^\(([\w-]+)\)=$", text, re.M) == list(examples)
    assert re.findall(r"^- \[[^]]+\]\(#([\w-]+)\)", text, re.M) == list(examples)
    for name, ours in zip(examples, page.evaluate(SLIDE, list(examples.values())), strict=True):
        assert np.allclose(ours, by_the_lesson(examples[name])), name


def paper(page):
    return page.locator(".pg-paper").first.inner_text()


def test_playground_by_mouse(visit):
    page = visit("book/playground.html#two-dimensions")
    assert paper(page) == "y[0, 0] = 1·1 + 2·1 + 4·1 + 5·1 = 12"
    page.get_by_role("button", name="Step").click()
    assert paper(page).endswith("= 16")
    page.locator(".pg-output .pg-cell").nth(3).hover()
    assert paper(page) == "y[1, 1] = 5·1 + 6·1 + 8·1 + 9·1 = 28"
    assert page.locator(".pg-seen").all_inner_texts() == ["5", "6", "8", "9"]
    page.get_by_label("Padding", exact=True).select_option("same")
    assert page.locator(".pg-output .pg-cell").count() == 9
    assert "⌊(3 + 0 + 1 − 2) / 1⌋ + 1 = ⌊2 / 1⌋ + 1 = 3" in page.locator(".pg-sizes").inner_text()
    page.get_by_role("link", name="An odd size").click()
    assert paper(page) == "y[0, 0] = max(1, 2, 6, 7) = 7"
    assert "1 left over" in page.locator(".pg-sizes").inner_text()
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.pg-paper').textContent.startsWith('y[1, 1]')")
    assert page.get_by_role("button", name="Play").is_visible()  # it has come to the end


def test_playground_by_keyboard(visit):
    page = visit("book/playground.html#one-dimension")
    page.get_by_label("Stride", exact=True).focus()
    page.keyboard.press("ArrowUp")
    assert page.locator(".pg-output .pg-cell").all_inner_texts() == ["1", "1"]
    page.get_by_label("Weight row 0, column 2", exact=True).fill("-2")
    assert paper(page) == "y[0] = 3·1 + 1·2 + 4·(−2) = −3"
    for _ in range(3):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('role')") == "gridcell":
            break
    page.keyboard.press("ArrowRight")
    assert paper(page) == "y[1] = 4·1 + 1·2 + 5·(−2) = −4"
    assert page.evaluate("document.activeElement.ariaLabel") == paper(page)


@pytest.mark.parametrize(
    ("label", "value", "words"),
    [
        ("Window rows", "5", "The window spans 5 cells, but the input has 3 cells"),
        ("Stride", "0", "Stride must be a whole number from 1 to 6; it is “0”."),
        ("Input rows", "", "Input rows must be a whole number from 1 to 12; it is nothing."),
        ("Weight row 0, column 0", "two", "A weight of the kernel: “two” is not a number."),
    ],
)
def test_playground_explains_what_cannot_work(visit, label, value, words):
    page = visit("book/playground.html#two-dimensions")
    page.get_by_label(label, exact=True).fill(value)
    assert words in page.get_by_role("alert").inner_text()
    assert page.locator(".pg-output .pg-cell").count() == 0
    page.get_by_label(label, exact=True).fill("2")
    assert page.get_by_role("alert").inner_text() == ""
    assert page.locator(".pg-output .pg-cell").count() > 0


def test_playground_link_restores_the_state(visit):
    page = visit("book/playground.html")
    page.get_by_label("Input columns", exact=True).fill("6")
    page.get_by_label("Padding", exact=True).select_option("number")
    page.get_by_label("Zeros on each side", exact=True).fill("2")
    page.get_by_label("Weight row 1, column 1", exact=True).fill("-0.5")
    page.locator(".pg-output .pg-cell").last.click()
    address = page.get_by_role("link", name="Link to this state").evaluate("a => a.href")
    assert page.url == address
    other = visit(address)
    for selector in (".pg-output .pg-cell", ".pg-input .pg-cell"):
        ours, theirs = (p.locator(selector).all_inner_texts() for p in (page, other))
        assert ours == theirs and len(ours) > 20
    assert other.get_by_label("Zeros on each side", exact=True).input_value() == "2"


def test_a_bad_link_is_explained(visit):
    page = visit("book/playground.html#op=max&x=1,2;3&k=1&s=1&p=valid&d=1")
    assert "one row has 2 numbers, another 1" in page.get_by_role("alert").inner_text()
    assert page.locator(".pg-output .pg-cell").count() > 0


@pytest.mark.parametrize(
    ("stem", "count"),
    [("01_convolution_by_hand", 1), ("02_padding_and_stride", 2), ("03_pooling", 2)],
)
def test_playground_is_embedded_in_the_first_lessons(visit, stem, count):
    page = visit(f"notebooks/{stem}.html", PHONE)
    assert page.locator(".playground").count() == count
    page.locator(".playground").first.get_by_role("button", name="Step").click()
    assert paper(page).startswith(("y[0, 1]", "y[1]"))


# ---- the live network ----

FORWARD = """() => {
  const layers = Network.load(NetworkData), pictures = Network.bytes(NetworkData.images);
  return NetworkData.labels.map((_, i) => {
    const image = Float32Array.from(pictures.subarray(784 * i, 784 * (i + 1)), (b) => b / 255);
    return Network.forward(layers, image).map((layer) => Array.from(layer.values));
  });
}"""


def keras_outputs():
    """Return what Keras gives at every layer for the digits of the page, with its weights."""
    import base64

    import keras

    data = export_network.read()
    network = bands.prepare(export_network.EXPERIMENT)["build_convnet"]()
    numbers = np.frombuffer(base64.b64decode(data["weights"]), "<f4")
    assert numbers.size == network.count_params()
    ends = np.cumsum([w.size for w in network.get_weights()])
    parts = np.split(numbers, ends[:-1])
    shapes = [w.shape for w in network.get_weights()]
    network.set_weights([p.reshape(s) for p, s in zip(parts, shapes, strict=True)])
    images = np.frombuffer(base64.b64decode(data["images"]), "u1").reshape(-1, 28, 28, 1) / 255
    every = keras.Model(network.inputs, [layer.output for layer in network.layers])
    return [np.asarray(values) for values in every([images.astype("float32")])], data["labels"]


def test_network_agrees_with_keras_on_a_hundred_digits(visit, record_property):
    ours = visit("book/live_network.html").evaluate(FORWARD)
    theirs, labels = keras_outputs()
    assert len(ours) == 100
    largest = 0
    for i, digit in enumerate(ours):
        for values, layer in zip(digit, theirs, strict=True):
            largest = max(largest, np.abs(np.array(values) - layer[i].ravel()).max())
    assert largest < 1e-4
    text = f"live network: largest difference from Keras on 100 digits, all layers: {largest:.1e}"
    record_property("measured", text)
    answers = [np.argmax(digit[-1]) for digit in ours]
    assert np.mean(np.array(answers) == labels) > 0.95


REDRAW = """() => {
  const layers = Network.load(NetworkData), pictures = Network.bytes(NetworkData.images);
  return NetworkData.labels.map((_, i) => {
    const drawing = new ImageData(280, 280);  // in the pad's upper right, at half its size
    for (let r = 0; r < 140; r += 1) {
      for (let c = 0; c < 140; c += 1) {
        const pixel = 784 * i + 28 * Math.floor(r / 5) + Math.floor(c / 5);
        drawing.data[(r * 280 + c + 140) * 4 + 3] = pictures[pixel];
      }
    }
    const answer = Network.forward(layers, Network.prepare(drawing)).at(-1).values;
    return answer.indexOf(Math.max(...answer));
  });
}"""


def test_a_drawing_is_placed_where_mnist_places_its_digits(visit):
    answers = visit("book/live_network.html").evaluate(REDRAW)
    assert np.mean(np.array(answers) == export_network.read()["labels"]) > 0.95


def test_network_data_is_of_the_lesson_and_light():
    data = export_network.read()
    assert data["code_sha256"] == bands.code_hash(export_network.EXPERIMENT), (
        "lesson 05 has changed: make network"
    )
    assert export_network.FILE.stat().st_size < export_network.MOST_BYTES
    band = json.loads(bands.path_of("convnet").read_text("utf-8"))
    stored = [seed["convnet"] for seed in band["seeds"].values()]
    assert min(stored) - 0.002 < data["test_accuracy"] < max(stored) + 0.002


def test_network_by_mouse(visit):
    page = visit("book/live_network.html")
    page.get_by_role("button", name="A 3 from the test set").click()
    assert "The network answers 3" in page.locator(".net-answer").inner_text()
    canvas = page.locator(".net-maps").first
    canvas.scroll_into_view_if_needed()
    canvas.hover(position={"x": 40, "y": 40})
    words = page.locator(".net-said").inner_text()
    assert re.match(r"convolution 1, map 0, row \d+, column \d+\. Sum = .*After ReLU", words)
    assert page.locator(".net-inspector canvas").count() == 2
    page.get_by_role("button", name="Clear").click()
    page.locator(".net-answer", has_text="Draw a digit").wait_for()
    pad = page.locator(".net-pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    middle = box["x"] + box["width"] / 2
    page.mouse.move(middle, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(middle, box["y"] + box["height"] - 30, steps=8)
    page.mouse.up()
    page.locator(".net-answer", has_text="answers 1,").wait_for()


def test_network_by_keyboard(visit):
    page = visit("book/live_network.html")
    page.get_by_role("button", name="A 8 from the test set").focus()
    page.keyboard.press("Enter")
    assert "The network answers 8" in page.locator(".net-answer").inner_text()
    said = page.locator(".net-said")
    page.locator(".net-maps").first.focus()
    assert said.inner_text().startswith("convolution 1, map 0, row 13, column 13.")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("PageDown")
    assert said.inner_text().startswith("convolution 1, map 1, row 14, column 13.")
    for start in ("max pooling 1", "convolution 2", "max pooling 2", "convolution 3"):
        page.keyboard.press("Tab")
        assert said.inner_text().startswith(f"{start}, map 0")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert "After softmax" in said.inner_text()


def test_network_by_touch(visit):
    page = visit("book/live_network.html", PHONE, has_touch=True)
    page.locator(".net-maps").nth(2).tap()
    assert page.locator(".net-said").inner_text().startswith("convolution 2, map")
