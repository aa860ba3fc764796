"""Measure pages of the built book with Lighthouse's mobile profile and print a table.

    python -m tools.lighthouse [--html _build/html] [--runs 3] [PAGE ...]

Needs Node.js and Chromium; Lighthouse itself comes from the npm registry (`npx`). The book is
served compressed on 127.0.0.1. Each page is measured RUNS times, and the table shows the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tools.browser import executable, flags
from tools.errors import CourseError, run_tool
from tools.serve import HTML, serving

VERSION = "12.8.2"
PAGES = (
    "index.html",
    "notebooks/01_convolution_by_hand.html",
    "notebooks/04_activations_and_initialization.html",
    "notebooks/11_seeing_filters.html",
    "book/glossary.html",
)
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
HEAD = """\
| page | performance | accessibility | best practices | SEO | LCP, s | KiB | KiB without figures |
|---|---|---|---|---|---|---|---|"""


def measure(address: str) -> dict[str, float]:
    """Return Lighthouse's scores (0 to 100), LCP in seconds and weight in KiB of one page.

    Raises:
        CourseError: Node.js or Chromium is missing, or Lighthouse failed.
    """
    chromium = executable()
    if not shutil.which("npx") or not chromium:
        raise CourseError("measuring pages: Node.js (npx) and Chromium are needed on the PATH.")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = ["npx", "--yes", f"lighthouse@{VERSION}", address, "--quiet", "--output=json"]
        command += [f"--output-path={report}", f"--only-categories={','.join(CATEGORIES)}"]
        command += [f"--chrome-flags={' '.join(['--headless=new', *flags()])}"]
        done = subprocess.run(
            command, env=os.environ | {"CHROME_PATH": chromium}, capture_output=True, text=True
        )
        if done.returncode:
            raise CourseError(f"measuring {address}: Lighthouse failed: {done.stderr[-300:]}")
        return _figures(json.loads(report.read_text(encoding="utf-8")))


def _figures(report: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of one Lighthouse report that the table shows."""
    requests = report["audits"]["network-requests"]["details"]["items"]
    plain = [r for r in requests if r.get("resourceType") != "Image"]
    figures = {name: 100 * report["categories"][name]["score"] for name in CATEGORIES}
    figures["lcp"] = report["audits"]["largest-contentful-paint"]["numericValue"] / 1000
    figures["all"] = sum(r["transferSize"] for r in requests) / 1024
    figures["plain"] = sum(r["transferSize"] for r in plain) / 1024
    return figures


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", default=PAGES)
    parser.add_argument("--html", type=Path, default=HTML)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    print(HEAD)
    with serving(options.html.resolve()) as address:
        for page in options.pages:
            runs = [measure(f"{address}/{page}") for _ in range(options.runs)]
            middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
            scores = " | ".join(f"{middle[name]:.0f}" for name in CATEGORIES)
            tail = f"{middle['lcp']:.1f} | {middle['all']:.0f} | {middle['plain']:.0f}"
            print(f"| {page} | {scores} | {tail} |", flush=True)


if __name__ == "__main__":
    run_tool(main)
