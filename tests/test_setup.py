"""Which Pythons the set-up lets through: those that every pinned package has a file for."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys

import pytest
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools import notebooks

ROOT = notebooks.ROOT
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
FIRST = re.search(r"^FIRST_PYTHON := (.+)$", MAKEFILE, re.M)[1]
BEFORE = re.search(r"^BEFORE_PYTHON := (.+)$", MAKEFILE, re.M)[1]


def pinned():
    """The names of constraints.txt that are installed here; some are for other systems only."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    names = [canonicalize_name(line.split("==")[0]) for line in lines if "==" in line]
    here = {canonicalize_name(one.name) for one in importlib.metadata.distributions()}
    return [name for name in names if name in here]


def refusing(version):
    """The installed packages whose files are not for this version of Python."""
    needs = {name: importlib.metadata.metadata(name).get("Requires-Python") for name in pinned()}
    return [name for name, need in needs.items() if need and version not in SpecifierSet(need)]


def test_every_pin_is_for_the_oldest_python_that_is_let_through():
    """Debian 12 has 3.11.2; one pin wanted 3.11.5, and pip said ResolutionImpossible."""
    assert len(pinned()) > 100
    assert not refusing(FIRST)
    assert "tensorflow" in refusing("3.9.0")  # it can fail


def test_tensorflow_has_a_file_for_each_python_that_is_let_through_and_for_no_newer_one():
    """No upper bound stands in its Requires-Python; its classifiers name the versions it has."""
    listed = importlib.metadata.metadata("tensorflow").get_all("Classifier")
    minors = {int(m[1]) for line in listed if (m := re.search(r"Python :: 3\.(\d+)$", line))}
    first, before = Version(FIRST).minor, Version(BEFORE).minor
    assert set(range(first, before)) <= minors
    assert before not in minors, "TensorFlow has a newer Python: raise BEFORE_PYTHON"


@pytest.mark.parametrize("version, passes", [
    ("3.10.14", False), ("3.11.2", True), ("3.12.3", True), ("3.13.9", True), ("3.14.0", False),
])  # fmt: skip
def test_set_up_says_which_pythons_will_do_before_it_fetches_anything(tmp_path, version, passes):
    """A Python that says it is this version; one that is let through is then asked for a venv."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.txt", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    python, told = tmp_path / "python", tmp_path / "told.py"
    # Two files, since a first line "#!" cannot name a program whose path has a space.
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{told}" "$@"\n')
    numbers = tuple(map(int, version.split(".")))
    told.write_text(
        "import sys\n"
        'if sys.argv[1] == "-m":\n'
        '    sys.exit(print("venv") or 3)\n'
        f"sys.version_info = {numbers}\n"
        "exec(sys.argv[2])\n"
    )
    python.chmod(0o755)
    words = ["make", "setup", f"PYTHON={python}"]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    run = subprocess.run(words, cwd=tmp_path, env=clean, capture_output=True, text=True)
    assert run.returncode, "the stand-in for a Python makes no environment"
    assert ("venv" in run.stdout.splitlines()) == passes
    assert ("Name one: make PYTHON=" in run.stderr) != passes
    assert passes or f"it is Python {version}" in run.stderr
