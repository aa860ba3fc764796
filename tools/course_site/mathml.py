"""Formulas as MathML, written when the book is built: a page needs no script to show them."""

from __future__ import annotations

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.writers.html5 import HTML5Translator


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
    if "\\" in mathml:
        raise ExtensionError(f"writing the formula {latex!r} as MathML: an unknown command")
    return mathml


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
