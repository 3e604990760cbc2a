"""Files outside of docs/ that a page links to: they become pages of the site, below files/.

A Markdown file is a page like any other, a folder is a list of its files, a picture is copied, and
anything else is shown as code. So `../examples/digits.py` works on GitHub and in the site.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from page_text import link_targets, relink, without_comments

ROOT = Path(__file__).resolve().parents[1]
ALWAYS = ("CHANGELOG.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md", "LICENSE")
_PICTURES = {".png", ".svg", ".gif", ".jpg", ".pdf"}
_LANGUAGES = {
    ".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".json": "json",
    ".sh": "sh", ".lark": "text", ".cff": "yaml",
}  # fmt: skip
_HIDE_FROM_SEARCH = "---\nsearch:\n  exclude: true\n---\n\n"


def outside(target: str, source: str) -> str:
    """The path, from the root, that a link in the file `source` leads to outside of docs/.

    A folder is its README where it has one.

    Empty for addresses of the web, anchors, and files of docs/ or that do not exist.
    """
    path = target.partition("#")[0]
    if not path or ":" in path or path.startswith("/"):
        return ""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if path == "." or path.startswith(("..", "docs/")) or not (ROOT / path).exists():
        return ""
    readme = f"{path}/README.md"
    return readme if (ROOT / readme).exists() else path


def uri(path: str) -> str:
    """Where the file, its path from the root, lies among the pages of the site."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if (ROOT / path).is_dir():
        return f"files/{path}/index.md"
    known = Path(path).suffix in _PICTURES | {".md"}
    return f"files/{path}" if known else f"files/{path}.md"


def relinked(text: str, source: str) -> str:
    """The text of the file `source`, with the links to files outside of docs/ leading to pages."""
    here = posixpath.dirname(uri(source))

    def change(target: str) -> str:
        path, mark, anchor = target.partition("#")
        to = outside(target, source)
        if not to and not source.startswith("docs/") and path and ":" not in path:
            to = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        return posixpath.relpath(uri(to), here or ".") + mark + anchor if to else target

    return relink(text, change)


def shown(path: str) -> str:
    """The Markdown of the page that shows the file or folder."""
    source = ROOT / path
    if source.is_dir():
        names = sorted(p for p in source.iterdir() if not p.name.startswith((".", "__")))
        rows = [f"- [{p.name}]({p.name})" if p.is_file() else f"- {p.name}/" for p in names]
        return f"# {path}/\n\n" + relinked("\n".join(rows) + "\n", f"{path}/index.md")
    text = source.read_text(encoding="utf-8")
    if source.suffix == ".md":
        return relinked(text, path)
    language = _LANGUAGES.get(source.suffix, "text")
    return f"{_HIDE_FROM_SEARCH}# {path}\n\n`````{language}\n{text}\n`````\n"


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add a page for everything outside that a page links to, and for what those link to."""
    waiting = list(ALWAYS)
    for page in files.documentation_pages():
        source = f"docs/{page.src_uri}"
        waiting += [outside(target, source) for target in link_targets(page.content_string)]
    done: set[str] = {""}
    while waiting:
        path = waiting.pop()
        if path in done:
            continue
        done.add(path)
        if Path(path).suffix in _PICTURES:
            files.append(File.generated(config, uri(path), abs_src_path=str(ROOT / path)))
            continue
        text = shown(path)
        level = InclusionLevel.INCLUDED if path in ALWAYS else InclusionLevel.NOT_IN_NAV
        files.append(File.generated(config, uri(path), content=text, inclusion=level))
        if (ROOT / path).is_dir():
            waiting += [f"{path}/{p.name}" for p in (ROOT / path).iterdir() if p.is_file()]
        elif path.endswith(".md"):
            text = (ROOT / path).read_text(encoding="utf-8")
            waiting += [outside(target, path) for target in link_targets(text)]
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead the links of a page to those pages, and drop its comments."""
    if not page.file.generated_by:
        markdown = relinked(markdown, f"docs/{page.file.src_uri}")
    return without_comments(markdown)
