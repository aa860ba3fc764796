"""What the website needs beyond Jupyter Book, as a small Sphinx extension.

- The address of the site and the Colab buttons follow the repository that the book is built from.
- Every code cell gets its id as an anchor, so that a page can link to the very cell.
- Formulas become MathML (mathml.py); pages are made light and get their header (pages.py).
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

from . import mathml, pages

LOGGER = logging.getLogger(__name__)


def repository(folder: Path) -> str:
    """Return the GitHub address of the repository, or an empty string if there is none.

    The environment variable COURSE_REPOSITORY comes first, then the git remote ``origin``.
    """
    address = os.environ.get("COURSE_REPOSITORY", "")
    if not address:
        address = _git(folder, "remote", "get-url", "origin")
        # A download that was unpacked inside another repository is not that repository.
        top = _git(folder, "rev-parse", "--show-toplevel").strip()
        address = address if top and Path(top).resolve() == folder.resolve() else ""
    # https://github.com/o/n, git@github.com:o/n, ssh://git@github.com:22/o/n, and the alias of a
    # host that ssh's own settings name, such as github.com-work. Not notgithub.com.
    host = r"(?:^|[/@])(?:www\.)?github\.com(?:-[\w.-]+)?(?::\d+)?"
    found = re.search(rf"{host}[:/]([\w.-]+)/([\w.-]+?)(\.git)?/?\s*$", address)
    return f"https://github.com/{found[1]}/{found[2]}" if found else ""


def _git(folder: Path, *words: str) -> str:
    """Return what git says about a folder; nothing if it refuses or is not installed."""
    # The folder may be another user's, as in a container: it is only asked for its address.
    command = ["git", "-c", f"safe.directory={folder.resolve()}", "-C", str(folder), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def site_address(repository_url: str) -> str:
    """Return where the site will be published, with a slash at its end; "" if nobody knows.

    The environment variable COURSE_SITE comes first, then GitHub Pages of the repository.
    """
    address = os.environ.get("COURSE_SITE", "").rstrip("/")
    if not address and repository_url:
        owner, name = repository_url.split("/")[-2:]
        address = f"https://{owner.lower()}.github.io/{name}"
    return f"{address}/" if address else ""


def set_addresses(app: Sphinx, config: Any) -> None:
    """Point buttons, canonical links and previews to where the book lives, if that is known."""
    url = repository(Path(app.srcdir))
    branch = os.environ.get("COURSE_BRANCH", "main")
    config.course_repository = f"{url}/blob/{branch}" if url else ""
    config.html_baseurl = config.ogp_site_url = site_address(url)
    config.html_theme_options["top_of_page_buttons"] = ["view", "edit"] if url else []
    if url:
        config.html_theme_options |= {"source_repository": url, "source_branch": branch}
    else:
        LOGGER.info(
            "No Colab buttons: the git remote `origin` is not on GitHub. Set "
            "COURSE_REPOSITORY=https://github.com/OWNER/NAME and build again."
        )
    if config.html_baseurl:
        app.setup_extension("sphinx_sitemap")  # it warns where no address is known
        config.sitemap_url_scheme = "{link}"  # one language and one version


def leave_scripts_out_of_the_ebook(app: Sphinx, config: Any) -> None:
    """Keep the scripts of the website out of an e-book: an e-reader runs none."""
    names = [entry if isinstance(entry, str) else entry[0] for entry in config.html_js_files]
    config.epub_exclude_files = [*config.epub_exclude_files, *(f"_static/{n}" for n in names)]


def set_anchors(app: Sphinx, doctree: nodes.document) -> None:
    """Let Markdown links name a page's targets and, in a notebook, each code cell by its id."""
    docname = app.env.docname
    slugs = app.env.metadata[docname].setdefault("myst_slugs", {})
    for name, explicit in doctree.nametypes.items():
        if explicit and (anchor := doctree.nameids.get(name)):
            slugs[name] = (0, anchor, name)
    path = Path(app.env.doc2path(docname))
    if path.suffix != ".ipynb":
        return
    import nbformat

    cells = nbformat.read(path, as_version=4).cells
    for node in doctree.findall(nodes.container):
        if node.get("nb_element") == "cell_code":
            name = cells[node["cell_index"]].id
            node["ids"].append(name)
            slugs[name] = (node.line, name, name)


def set_dark_style(app: Sphinx) -> None:
    """Choose readable colours for code in the dark; no setting in _config.yml can name them."""
    app.config.pygments_dark_style = "a11y-dark"  # Furo's own; not known when settings are read


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_config_value("course_repository", "", "html", str)
    # Jupyter Book always sets it, for an extension that this book does not load.
    app.add_config_value("comments_config", {}, "html", dict)
    app.connect("config-inited", set_addresses, priority=100)
    app.connect("config-inited", leave_scripts_out_of_the_ebook, priority=100)
    app.connect("builder-inited", set_dark_style, priority=100)
    app.connect("doctree-read", set_anchors)
    mathml.setup(app)
    pages.setup(app)
    return {"version": "2", "parallel_read_safe": True}
