"""Every public name and the page that documents it: a list, made when the site is built."""

from __future__ import annotations

import inspect
import re
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from attenergy.testing.docs_pages.markdown import table

#: Modules whose public names all have to stand in a page of docs/reference/.
ROOMS = (
    "attenergy",
    "attenergy.registry",
    "attenergy.energies",
    "attenergy.energies.language",
    "attenergy.attention",
    "attenergy.attention.graphs",
    "attenergy.attention.integrations.huggingface",
    "attenergy.attention.memory",
    "attenergy.attention.mixers",
    "attenergy.tasks",
    "attenergy.search.suggest",
    "attenergy.analysis",
    "attenergy.testing",
)
_DIRECTIVE = re.compile(r"^::: (\S+)$", re.MULTILINE)
_HEAD = """\
# Every public name

Import a name from the module under which it stands here. The names of a class, and what a function
takes and gives, stand where the link leads.
"""


def documented(folder: Path) -> dict[str, str]:
    """Address -> file name of the page in docs/reference/ that documents it."""
    return {
        address: page.name
        for page in sorted(folder.glob("*.md"))
        for address in _DIRECTIVE.findall(page.read_text(encoding="utf-8"))
    }


def resolve(address: str) -> Any:
    """The object at an address."""
    module, _, name = address.rpartition(".")
    with warnings.catch_warnings():  # PyTorch Geometric scripts functions when it is imported
        warnings.simplefilter("ignore", DeprecationWarning)
        return getattr(import_module(module), name)


def undocumented(folder: Path) -> list[str]:
    """Public names, by all their addresses, that no page documents under any of them."""
    shown: dict[str, list[Any]] = {}
    for address in documented(folder):
        shown.setdefault(address.rpartition(".")[2], []).append(resolve(address))
    return [
        f"{room}.{name}"
        for room in ROOMS
        for name in import_module(room).__all__
        if not any(value is resolve(f"{room}.{name}") for value in shown.get(name, ()))
    ]


def names_page(folder: Path) -> str:
    """Write the list, module by module."""
    places = documented(folder)
    parts = [_HEAD]
    rooms = sorted({address.rpartition(".")[0] for address in places})
    for room in rooms:
        addresses = [address for address in places if address.rpartition(".")[0] == room]
        rows = [
            [f"[`{address.rpartition('.')[2]}`]({places[address]}#{address})", _summary(address)]
            for address in sorted(addresses, key=str.casefold)
        ]
        parts += [f"## {room}\n", table(["name", "what it is"], rows)]
    return "\n".join(parts)


def _summary(address: str) -> str:
    value = resolve(address)
    if inspect.ismethod(value):
        kind: str = value.__self__.kind  # a catalogue's `register`
        return f"Adds {'an' if kind[0] in 'aeiou' else 'a'} {kind} of yours, known by its name."
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return ""
    paragraph = " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())
    return f"`{paragraph}`" if _is_formula(paragraph) else paragraph


def _is_formula(sentence: str) -> bool:
    """Whether Markdown would take signs of a formula for marks of its own."""
    return "`" not in sentence and bool(re.search(r"[*_|<^~\\]", sentence))


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the list to the pages of the reference."""
    content = names_page(Path(config.docs_dir, "reference"))
    files.append(File.generated(config, "reference/names.md", content=content))
    return files
