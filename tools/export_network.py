"""Train the convnet of lesson 05 and write its weights for the live network page.

    python -m tools.export_network

The code is the lesson's: the cells of its experiment ``convnet``, run for seed 0 on all 60,000
digits. The weights, and a hundred test digits to try them on, go to book/_static/network_data.js,
with a hash of that code.
"""

from __future__ import annotations

import base64
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tools import bands, notebooks
from tools.errors import CourseError, run_tool

FILE = notebooks.ROOT / "book" / "_static" / "network_data.js"
VARIABLE = "const NetworkData = "
EXPERIMENT, SEED = "convnet", 0
SAMPLES = 10  # test digits of each class
MOST_BYTES = 1_000_000


def train() -> dict[str, Any]:
    """Return the lesson's variables, with ``network`` trained as its experiment trains it."""
    lesson = bands.prepare(EXPERIMENT)
    lesson["keras"].utils.set_random_seed(SEED)
    digits = lesson["prepare"](lesson["train_images"])
    lesson["network"] = lesson["train"](
        lesson["build_convnet"](), digits, lesson["train_labels"], epochs=5
    )
    return lesson


def describe(network: Any) -> tuple[list[dict[str, Any]], bytes]:
    """Return the layers as plain data, and all their weights as float32 bytes, in that order.

    Raises CourseError for a layer that the page cannot compute.
    """
    layers, weights = [], b""
    for layer in network.layers:
        kind = type(layer).__name__
        known = {"Conv2D": "valid", "MaxPooling2D": "valid", "Flatten": None, "Dense": None}
        if kind not in known or getattr(layer, "padding", None) != known[kind]:
            raise CourseError(f"describing layer {layer.name!r}: the page cannot compute {kind}.")
        entry = {"kind": kind, "output": list(layer.output.shape[1:])}
        if layer.weights:
            kernel, bias = layer.get_weights()
            entry |= {"kernel": list(kernel.shape), "activation": layer.activation.__name__}
            weights += kernel.astype("<f4").tobytes() + bias.astype("<f4").tobytes()
        if kind == "MaxPooling2D":
            entry["pool"] = list(layer.pool_size)
        layers.append(entry)
    return layers, weights


def samples(images: Any, labels: Any) -> tuple[bytes, list[int]]:
    """Return the first SAMPLES images of each class as bytes, and their labels."""
    chosen = [np.flatnonzero(labels == digit)[:SAMPLES] for digit in range(10)]
    rows = np.concatenate(chosen)
    return images[rows].tobytes(), labels[rows].tolist()


def as_script(lesson: dict[str, Any], accuracy: float) -> str:
    """Return the text of the script: one constant, an object."""
    layers, weights = describe(lesson["network"])
    images, labels = samples(lesson["test_images"], lesson["test_labels"])
    data = {
        "code_sha256": bands.code_hash(EXPERIMENT),
        "made_with": {name: version(name) for name in ("tensorflow", "keras")},
        "seed": SEED,
        "test_accuracy": accuracy,
        "layers": layers,
        "labels": labels,
        "images": base64.b64encode(images).decode(),
        "weights": base64.b64encode(weights).decode(),
    }
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in data.items())
    return f"{VARIABLE}{{\n{lines}\n}};\n"


def read(file: Path = FILE) -> dict[str, Any]:
    """Return the object that the script holds."""
    text = file.read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text.removeprefix(VARIABLE).rstrip().removesuffix(";"))
    return found


def main() -> None:
    """Command line of this module."""
    lesson = train()
    accuracy = lesson["accuracy"](
        lesson["network"], lesson["prepare"](lesson["test_images"]), lesson["test_labels"]
    )
    script = as_script(lesson, accuracy)
    if len(script) > MOST_BYTES:
        raise CourseError(f"writing {FILE}: {len(script)} bytes are more than {MOST_BYTES}.")
    FILE.write_text(script, encoding="utf-8")
    print(f"{FILE.name}: {len(script):,} bytes, test accuracy {accuracy}")


if __name__ == "__main__":
    run_tool(main)
