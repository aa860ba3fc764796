"""Formulas as MathML, written when the book is built: a page needs no script to show them."""

from __future__ import annotations

from xml.etree.ElementTree import Element, fromstring

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.writers.html5 import HTML5Translator

# How many parts these elements have: the converter lets a formula through that lacks some.
PARTS = {"mfrac": 2, "msub": 2, "msup": 2, "msubsup": 3, "munder": 2, "mover": 2, "munderover": 3}


def to_mathml(latex: str, display: str) -> str:
    """Return the MathML element of a formula; ``display`` is "inline" or "block".

    Raises:
        ExtensionError: the formula has a command that is not known.
    """
    try:
        mathml = convert(latex.strip(), display=display)
    except Exception as error:  # each kind of mistake has a class of its own
        reason = f"{type(error).__name__} {error}".strip()
        raise ExtensionError(f"writing the formula {latex!r} as MathML: {reason}") from error
    parts = list(fromstring(mathml).iter())
    short = [part.tag for part in parts if len(part) != PARTS.get(_name(part), len(part))]
    if short or any("\\" in (part.text or "") for part in parts):
        raise ExtensionError(f"writing the formula {latex!r} as MathML: unknown or not complete")
    return mathml


def _name(element: Element) -> str:
    """Return the name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def visit_inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    translator.body.append(to_mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on a line of its own."""
    translator.body.append(f'<div class="math">{to_mathml(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Register the renderer; ``html_math_renderer: mathml`` chooses it."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
