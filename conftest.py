"""What every test run needs before a notebook starts: the short run of lesson 08, and photographs.

The photographs of lesson 08 do not ship with the course. Unless COURSE_DATA names a folder that
holds them, a few drawn ones stand in, packed as the real ones are: the loading code is the same.
"""

import os
import shutil
import sys
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SPLITS = {"train": 30, "validation": 10, "test": 10}  # photographs of each kind
DRAWN = "course_drawn_photographs"


def draw_animal(kind, rng):
    """Return a JPEG as bytes: a round face with pointed ears (cats) or hanging ears (dogs)."""
    width, height = (int(n) for n in rng.integers(160, 240, size=2))
    image = Image.new("RGB", (width, height), tuple(rng.integers(0, 120, size=3).tolist()))
    pen = ImageDraw.Draw(image)
    fur = tuple(int(n) for n in rng.integers(140, 256, size=3))
    x, y, r = width // 2, height // 2, int(rng.integers(35, 60))
    for side in (-1, 1):
        outer = x + side * r
        if kind == "cats":
            pen.polygon([(x + side * 5, y - r), (outer, y - 2 * r), (outer, y)], fill=fur)
        else:
            pen.ellipse([outer - 15, y - r // 2, outer + 15, y + r], fill=fur)
    pen.ellipse([x - r, y - r, x + r, y + r], fill=fur)
    file = BytesIO()
    image.save(file, "JPEG")
    return file.getvalue()


def write_photographs(folder):
    """Write cats_and_dogs_filtered.zip with drawn photographs into ``folder``."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(Path(folder, "cats_and_dogs_filtered.zip"), "w") as packed:
        for split, count in SPLITS.items():
            for kind in ("cats", "dogs"):
                for number in range(count):
                    name = f"cats_and_dogs_filtered/{split}/{kind}/{kind[:-1]}.{number}.jpg"
                    packed.writestr(name, draw_animal(kind, rng))


def pytest_configure(config):
    """Set the environment of all notebooks; the workers of pytest-xdist inherit it."""
    os.environ["COURSE_SMOKE"] = "1"
    # Matplotlib lists the fonts once for all of a user's environments. A list that another one
    # wrote while its own fonts were missing makes every chart warn; so each keeps its own, made
    # here before two notebooks ask for it at once.
    os.environ["MPLCONFIGDIR"] = str(Path(sys.prefix, "matplotlib"))
    import matplotlib.font_manager  # noqa: F401

    if "COURSE_DATA" not in os.environ:
        folder = tempfile.mkdtemp(prefix=DRAWN)
        write_photographs(folder)
        os.environ["COURSE_DATA"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
