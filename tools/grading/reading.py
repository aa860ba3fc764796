"""Read the written answers of a class: all answers to one question side by side, in a browser.

    python -m tools.grading.reading graded [--port 8010]

Serves this machine only. A mark is written into nbgrader's gradebook.db as it is given.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import json
import secrets
from collections import defaultdict
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from tornado import web
from tornado.httpserver import HTTPServer

from tools.course_site.mathml import to_mathml
from tools.errors import CourseError, run_tool
from tools.grading import gradebook
from tools.serve import listen

PAGE = Path(__file__).parent / "reading_page"
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
LONGEST = 20_000  # characters of an answer that are shown


# Answers are a stranger's text


def _formula(latex: str, options: dict[str, Any]) -> str:
    """Return a formula as MathML, or as it was written if that does not work."""
    try:
        return to_mathml(latex, "block" if options.get("display_mode") else "inline")
    except Exception:  # a student's formula: anything may be wrong with it
        return html.escape(f"${latex}$")


# No raw HTML, no image, no link: what is left of Markdown cannot load or run anything.
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
MARKDOWN.disable(["image", "link", "autolink", "reference"])
MARKDOWN.use(dollarmath_plugin, renderer=_formula, allow_labels=False, double_inline=True)


def shown(text: str) -> str:
    """Return an answer as HTML that neither loads nor runs anything; a long one is cut."""
    cut = text[:LONGEST] + (" ... (cut)" if len(text) > LONGEST else "")
    try:
        return str(MARKDOWN.render(cut))
    except Exception:  # nested too deeply, say: then as it is
        return f"<pre>{html.escape(cut)}</pre>"


def words_of(answer: gradebook.Answer) -> str:
    """Return the student's own words: the text without its first line, which names the question."""
    first, _, rest = answer.text.partition("\n")
    return rest.strip() if first.strip("*# ").startswith("Answer") else answer.text


def steps(maximum: float) -> list[float]:
    """Return the points that one can give with a click: in halves, up to the maximum."""
    return [half / 2 for half in range(int(maximum * 2) + 1)]


# The pages


class Handler(web.RequestHandler):
    """A page of this machine's own; everything else is refused."""

    def initialize(self, out: Path, token: str) -> None:
        """Take the graded folder, and the token that a page of ours sends back."""
        self.out, self.token = out, token

    def prepare(self) -> None:
        """Refuse a request by another name of this machine, as another site could make one."""
        if self.request.host.rpartition(":")[0] not in ("127.0.0.1", "localhost"):
            raise web.HTTPError(403, "only for this machine")

    def set_default_headers(self) -> None:
        """Forbid a page to load or to run anything but our own two files."""
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")


class Home(Handler):
    """The list of questions, with how many answers are read."""

    def get(self) -> None:
        """Show the list."""
        self.render("home.html", questions=gradebook.written(self.out))


class Question(Handler):
    """All answers to one question."""

    def get(self, stem: str, name: str) -> None:
        """Show the answers; with ``?names=1`` whose they are."""
        questions = gradebook.written(self.out)
        question = next((q for q in questions if (q.stem, q.question) == (stem, name)), None)
        if question is None:
            raise web.HTTPError(404)
        answers = gradebook.answers_to(self.out, stem, name)
        alike: dict[str, list[int]] = defaultdict(list)
        for number, answer in enumerate(answers, start=1):
            alike["".join(words_of(answer).split())].append(number)
        groups = [alike["".join(words_of(answer).split())] for answer in answers]
        self.render(
            "question.html",
            question=question,
            answers=list(zip(answers, groups, strict=True)),
            names=self.get_argument("names", "") == "1",
            token=self.token,
            steps=steps(question.maximum),
            shown=shown,
            words_of=words_of,
        )

    def post(self, stem: str, name: str) -> None:
        """Save one mark at once; answer with what is now in the gradebook."""
        own = f"http://{self.request.host}"
        sent = self.request.headers.get("X-Token", "")
        if self.request.headers.get("Origin") != own or not secrets.compare_digest(
            sent.encode(), self.token.encode()
        ):
            raise web.HTTPError(403, "not from a page of ours")
        try:
            given = json.loads(self.request.body)
            points = None if given["points"] is None else float(given["points"])
            answer = gradebook.give(
                self.out, stem, name, str(given["key"]), points, str(given["comment"]),
                extra=float(given.get("extra", 0)), digest=str(given["digest"]),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError) as error:
            raise web.HTTPError(400, "not a mark") from error
        except CourseError as error:
            self.set_status(409)
            self.finish({"error": str(error)})
            return
        self.finish({"points": answer.points, "comment": answer.comment})


def application(out: Path) -> web.Application:
    """Return the application for a graded folder; raise CourseError if there is no gradebook."""
    gradebook.written(out)
    shared = {"out": out, "token": secrets.token_urlsafe(24)}
    return web.Application(
        [
            (r"/", Home, shared),
            (r"/(reading\.(?:css|js))", web.StaticFileHandler, {"path": str(PAGE)}),
            (r"/([\w.-]+)/([\w.-]+)", Question, shared),
        ],
        template_path=str(PAGE),
    )


async def serve(out: Path, port: int, ready: Any = print) -> None:
    """Serve until stopped; ``ready`` gets the address. Raises CourseError if the port is taken."""
    site = application(out)
    socket = listen(port, "reading answers")
    server = HTTPServer(site)
    server.add_socket(socket)
    ready(f"http://127.0.0.1:{socket.getsockname()[1]} (Ctrl-C stops; each mark is saved at once)")
    await asyncio.Event().wait()


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, help="the folder that make grade has written")
    parser.add_argument("--port", type=int, default=8010)
    given = parser.parse_args()
    try:
        asyncio.run(serve(given.out, given.port))
    except KeyboardInterrupt:
        print("stopped; all marks are in gradebook.db")


if __name__ == "__main__":
    run_tool(main)
