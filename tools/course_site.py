"""What the website needs beyond Jupyter Book, as a small Sphinx extension.

- Every notebook cell gets its id as an anchor, so that a page can link to the very cell.
- The Colab and repository buttons point to the repository that the book is built from.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)
COLAB = "https://colab.research.google.com"


def repository(folder: Path) -> str:
    """Return the GitHub address of the repository, or an empty string if there is none.

    The environment variable COURSE_REPOSITORY comes first, then the git remote ``origin``.
    """
    address = os.environ.get("COURSE_REPOSITORY", "")
    if not address:
        command = ["git", "-C", str(folder), "remote", "get-url", "origin"]
        try:
            address = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        except OSError:  # git is not installed
            address = ""
    found = re.search(r"github\.com[:/]([\w.-]+)/([\w.-]+?)(\.git)?/?\s*$", address)
    return f"https://github.com/{found[1]}/{found[2]}" if found else ""


def set_buttons(app: Sphinx, config: Any) -> None:
    """Point the theme's buttons to the repository, or leave them out and say how to get them."""
    url = repository(Path(app.srcdir))
    branch = os.environ.get("COURSE_BRANCH", "main")
    buttons = {"colab_url": COLAB} if url else {}
    config.html_theme_options |= {
        "repository_url": url,
        "repository_branch": branch,
        "use_repository_button": bool(url),
        "use_issues_button": bool(url),
        "launch_buttons": buttons,
    }
    if not url:
        LOGGER.info(
            "No Colab buttons: the git remote `origin` is not on GitHub. Set "
            "COURSE_REPOSITORY=https://github.com/OWNER/NAME and build again."
        )


def anchor_cells(app: Sphinx, doctree: nodes.document) -> None:
    """Give each cell of a notebook its id as an anchor that Markdown links can name."""
    docname = app.env.docname
    path = Path(app.env.doc2path(docname))
    if path.suffix != ".ipynb":
        return
    import nbformat

    cells = nbformat.read(path, as_version=4).cells
    slugs = app.env.metadata[docname].setdefault("myst_slugs", {})
    for node in doctree.findall(nodes.container):
        if node.get("nb_element") == "cell_code":
            name = cells[node["cell_index"]].id
            node["ids"].append(name)
            slugs[name] = (node.line, name, name)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("config-inited", set_buttons)
    app.connect("doctree-read", anchor_cells)
    return {"version": "1", "parallel_read_safe": True}
