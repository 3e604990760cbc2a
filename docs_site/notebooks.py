"""Every tutorial can be downloaded as a notebook, which jupytext makes when the site is built."""

from __future__ import annotations

import posixpath
import re
from typing import Any

import jupytext
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from page_text import parts, without_comments

_SAVED = re.compile(r"<!-- file: (?P<name>\S+) -->\s*$")
#: What a reader has not got, or what ends with an error, is no cell.
_NOT_RUN = re.compile(
    r"<!-- (?:run: (?:checked|fails)|(?:because|before): .*) -->\s*(?:<!-- .* -->\s*)*$"
)
#: Without it jupytext takes the language of most blocks for that of the notebook.
_PYTHON = (
    "---\njupyter:\n  kernelspec:\n"
    "    display_name: Python 3\n    language: python\n    name: python3\n---\n\n"
)
_HEADER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_OPENING = re.compile(r"^(?P<fence>`{3,}|~{3,})(?P<language>\S*)")
_RELATIVE = re.compile(r"!?\[(?P<words>[^\]]*)\]\((?!https?:)(?P<target>[^)\s]*)\)")


def notebook(text: str, source: str = "docs/tutorials/NAME.md") -> str:
    """The notebook, as JSON, of a tutorial in Markdown; `source` is the tutorial's path.

    Python and shell blocks become cells to run; a block that the page says to save (`file: NAME`)
    becomes a cell that writes the file; one that no test runs stays text. A notebook may lie
    anywhere, so a link to another page becomes the path of that page in the repository.
    """
    pieces: list[str] = []
    for is_code, piece in parts(_HEADER.sub("", text)):
        if not is_code:
            pieces.append(_RELATIVE.sub(lambda m: _place(m, source), piece))
            continue
        before = pieces[-1] if pieces else ""
        saved = _SAVED.search(before)
        opening = r"\g<fence>\g<language>"
        if saved:
            opening = rf"\g<fence>python\n%%writefile {saved['name']}"
        elif _NOT_RUN.search(before):
            opening += " .noeval"
        pieces.append(_OPENING.sub(opening, piece, count=1))
    made = jupytext.reads(_PYTHON + without_comments("".join(pieces).lstrip()), fmt="md")
    made.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    }
    for number, cell in enumerate(made.cells):
        cell.metadata, cell.source = {}, cell.source.strip()
        cell.id = f"cell-{number}"  # drawn at random otherwise: the site would never be the same
    return jupytext.writes(made, fmt="ipynb")


def _place(link: re.Match[str], source: str) -> str:
    path = link["target"].partition("#")[0]
    if not path:
        return link["words"]
    return f"{link['words']} (`{posixpath.normpath(posixpath.join(source, '..', path))}`)"


def _is_tutorial(file: File) -> bool:
    return file.src_uri.startswith("tutorials/") and file.src_uri != "tutorials/index.md"


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the notebook of every tutorial beside its page."""
    for page in [file for file in files.documentation_pages() if _is_tutorial(file)]:
        uri = page.src_uri.removesuffix(".md") + ".ipynb"
        text = notebook(page.content_string, f"docs/{page.src_uri}")
        files.append(File.generated(config, uri, content=text))
    return files


@event_priority(100)
def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Put the link to the notebook below the title of a tutorial."""
    if not _is_tutorial(page.file):
        return markdown
    name = posixpath.basename(page.file.src_uri).removesuffix(".md")
    link = f"[Download as a notebook]({name}.ipynb){{ .notebook download }}"
    return re.sub(r"^(# .*\n)", rf"\1\n{link}\n", markdown, count=1, flags=re.MULTILINE)
