"""The book lists every notebook, its generated page is fresh, and its links lead somewhere."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from tools import course_site, ledger, notebooks
from tools.errors import CourseError

ROOT = notebooks.ROOT
PAGES = [ROOT / "index.md", *sorted((ROOT / "book").glob("*.md"))]
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "data" / "README.md", *PAGES]
BOOKS = notebooks.lessons() + notebooks.masters() + notebooks.releases()


def text_of(path):
    """Return the Markdown of a page or of a notebook, without code."""
    if path.suffix == ".ipynb":
        cells = notebooks.read(path).cells
        text = "\n\n".join(c.source for c in cells if c.cell_type == "markdown")
    else:
        text = path.read_text(encoding="utf-8")
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)


NOTES = """
01 S0.1 S0.2 S0.3 S0.4 S0.14b S0.15 S0.16 S0.20 S1.4 S1.5 S3.1 S3.7 S3.9 S3.11 S4.5 S4.6 S4.7
02 S0.6 S0.7 S0.8 S0.9 S0.14a S1.1 S2.4 S3.2 S3.2b S3.3 S3.5 S3.8 S4.8 S4.9 S4.10
03 S0.10 S0.10b S0.11 S0.12 S0.14 S0.19 S1.3 S2.6 S3.10 S4.11
04 S1.6 S1.7 S2.13 S3.12 S3.13 S3.14 S3.17 S4.3
05 S0.13 S0.18 S1.2 S1.11 S2.1 S2.2 S2.3 S2.5 S3.18 S3.20
06 S3.4 S3.6 S3.16 S3.19 S4.12 S4.13
07 S2.11 S2.15 S3.15 S4.2
08 S2.7 S2.8 S2.9 S2.10 S2.12 S2.13b
09 S1.8a S1.8b S1.8c S1.8d S1.8e S1.8f
10 S1.9a S1.9b S1.9c S1.10a S1.10b
11 S0.17 S3.0 S4.1 S4.4
"""  # the claims of the study notes, numbered when they were read, by lesson


@cache
def anchors_of(path):
    """Return the anchors of a page: its headings as slugs, its targets, a notebook's code cells."""
    headings = re.findall(r"^#+ (.+)$", text_of(path), re.M)
    slugs = {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in headings}
    slugs |= set(re.findall(r"^\(([\w-]+)\)=$", text_of(path), re.M))
    if path.suffix == ".ipynb":
        slugs |= {cell.id for cell in notebooks.code_cells(notebooks.read(path))}
    return slugs


def broken_links(text, page):
    """Return the relative links in the text of ``page`` whose file or anchor does not exist."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.is_file() or (anchor or not name) and anchor not in anchors_of(path):
            broken.append(target)
    return broken


@pytest.mark.parametrize("path", TEXTS + BOOKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    assert broken_links(text_of(path), path) == []


def test_a_broken_link_is_found():
    page = ROOT / "README.md"
    good = "[a](notebooks/01_convolution_by_hand.ipynb#convolve1d) [b](https://example.org/x)"
    assert broken_links(good, page) == []
    assert broken_links("[a](#what-is-here)", page) == []
    lost = "notebooks/01_convolution_by_hand.ipynb#no-such-cell"
    for target in ("notebooks/00_nothing.ipynb", lost, "#", "#nothing-here"):
        assert broken_links(f"[a]({target})", page) == [target]


def test_table_of_contents_lists_every_page_once():
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    listed = re.findall(r"(?:file|root): (\S+)", toc)
    expected = [
        str(path.relative_to(ROOT).with_suffix(""))
        for path in PAGES + notebooks.lessons() + notebooks.releases()
    ]
    assert sorted(listed) == sorted(expected)
    yaml.safe_load(toc)


def test_ledger_is_fresh():
    assert ledger.LEDGER.read_text(encoding="utf-8") == ledger.ledger()


@pytest.mark.parametrize("line", NOTES.split("\n")[1:-1], ids=lambda line: line[:2])
def test_every_claim_of_the_notes_is_in_the_ledger(line):
    lesson, *names = line.split()
    claims = ledger.read_claims()
    lacking = [n for n in names if n not in claims or not claims[n]["lesson"].startswith(lesson)]
    assert lacking == []


def test_every_claim_has_a_cell():
    assert set(ledger.shown_in()) == set(ledger.read_claims())


def test_a_claim_without_a_cell_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "claims.yml"
    content = ledger.CLAIMS.read_text(encoding="utf-8")
    file.write_text(content + "  S9.9: {text: New., verdict: holds}\n", encoding="utf-8")
    monkeypatch.setattr(ledger, "CLAIMS", file)
    claims = ledger.read_claims(file)
    monkeypatch.setattr(ledger, "read_claims", lambda: claims)
    with pytest.raises(CourseError, match=r"no cell carries: \['S9.9'\]"):
        ledger.ledger()


@pytest.mark.parametrize(
    "entry", ["{text: T, verdict: true}", "{text: T, verdict: loose}", "{text: T}"]
)
def test_an_incomplete_claim_is_refused(tmp_path, entry):
    file = tmp_path / "claims.yml"
    file.write_text(f"01_x:\n  S9.9: {entry}\n", encoding="utf-8")
    with pytest.raises(CourseError, match=r"S9\.9"):
        ledger.read_claims(file)


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://github.com/owner/name.git", "https://github.com/owner/name"),
        ("git@github.com:owner/name.js.git", "https://github.com/owner/name.js"),
        ("https://github.com/owner/name/", "https://github.com/owner/name"),
        ("ssh://git@github.com:22/owner/name", "https://github.com/owner/name"),
        ("git@github.com-work:owner/name.git", "https://github.com/owner/name"),
        ("https://user:token@github.com/owner/name", "https://github.com/owner/name"),
        ("https://notgithub.com/owner/name", ""),
        ("https://example.org/github.com.evil/owner/name", ""),
        ("https://gitlab.com/owner/name", ""),
        (None, ""),
    ],
)
def test_buttons_follow_the_git_remote(tmp_path, monkeypatch, remote, address):
    monkeypatch.delenv("COURSE_REPOSITORY", raising=False)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    if remote:
        subprocess.run(["git", "-C", tmp_path, "remote", "add", "origin", remote], check=True)
    assert course_site.repository(tmp_path) == address


def test_a_download_inside_another_repository_is_not_that_repository(tmp_path, monkeypatch):
    monkeypatch.delenv("COURSE_REPOSITORY", raising=False)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    remote = "https://github.com/someone/dotfiles"
    subprocess.run(["git", "-C", tmp_path, "remote", "add", "origin", remote], check=True)
    inner = tmp_path / "course-main"
    inner.mkdir()
    assert course_site.repository(inner) == ""


def test_one_setting_comes_before_the_git_remote(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_REPOSITORY", "https://github.com/other/course")
    assert course_site.repository(Path(tmp_path)) == "https://github.com/other/course"


@pytest.mark.parametrize(
    ("setting", "repository", "address"),
    [
        ("", "https://github.com/Owner/name", "https://owner.github.io/name/"),
        ("https://course.example.org", "https://github.com/o/n", "https://course.example.org/"),
        ("", "", ""),
    ],
)
def test_the_site_knows_where_it_will_be(monkeypatch, setting, repository, address):
    monkeypatch.setenv("COURSE_SITE", setting)
    assert course_site.site_address(repository) == address


def test_cited_papers_are_in_the_bibliography():
    known = set(re.findall(r"@\w+\{(\w+),", (ROOT / "book" / "references.bib").read_text()))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for keys in re.findall(r"\{cite:[pt]\}`([^`]+)`", text):
            assert set(keys.split(",")) <= known, page.name
