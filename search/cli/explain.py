"""The command `explain`: what an error, a law or a word means, and what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from attenergy.search.cli.parameters.completion import complete_explanation

if TYPE_CHECKING:
    from attenergy.registry.explained import Law, Topic
    from attenergy.registry.explained.glossary import Word

_T = TypeVar("_T")


def explain(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="As a message gives it, in parentheses at its end; the number of a law; or a word "
            "of the glossary. Without one, all names are listed.",
            autocompletion=complete_explanation,
        ),
    ] = None,
) -> None:
    """Explain errors, laws and words: what they mean; usual causes, what to do, an example."""
    if not names:
        _list_all()
        return
    texts: list[str] = []
    for entry in _entries(names):
        if (text := entry.plain()) not in texts:
            texts.append(text)
    typer.echo("\n\n\n".join(texts))


def _list_all() -> None:
    """All topics with their titles, then the names of all words."""
    from attenergy.registry.explained import EXPLAINED, GROUPS, LAWS
    from attenergy.registry.explained.glossary import glossary_words

    width = max(map(len, EXPLAINED))
    headings = {topics[0].name: heading for heading, topics in GROUPS.items()}
    headings[LAWS[0].name] = "Laws"
    for name, entry in EXPLAINED.items():
        if name in headings:
            typer.echo(f"{headings[name]}:")
        typer.echo(f"  {name:<{width}}  {entry.title}")
    # A name of several words stays in one line.
    words = ", ".join(name.replace(" ", "\0") for name in glossary_words())
    lines = textwrap.fill(
        words, 88, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )
    typer.echo("Words:\n" + lines.replace("\0", " "))


def _entries(names: Sequence[str]) -> Iterator[Topic | Law | Word]:
    """What explains the names; of names in a row the longest that are one name when joined."""
    from attenergy.registry.explained import EXPLAINED, LAWS
    from attenergy.registry.explained.glossary import glossary_words

    topics: dict[str, Topic | Law] = {_plain_name(name): each for name, each in EXPLAINED.items()}
    for law in LAWS:
        number = law.label.split()[0]
        topics |= {number: law, f"law {number}": law}
    words = {_plain_name(name): each for name, each in glossary_words().items()}
    start = 0
    while start < len(names):
        for end in range(len(names), start, -1):
            name = " ".join(names[start:end])
            explained = [e for e in (_looked_up(name, topics), _looked_up(name, words)) if e]
            if explained:
                yield from explained
                start = end
                break
        else:
            raise _unknown(names[start:], [*EXPLAINED, *glossary_words()])


def _plain_name(name: str) -> str:
    """A name in small letters, with a space between its parts."""
    return " ".join(name.lower().replace("-", " ").replace("_", " ").split())


def _looked_up(name: str, table: Mapping[str, _T]) -> _T | None:
    """The entry of a name, whatever its case, in the singular or the plural."""
    name = _plain_name(name)
    forms = [name, f"{name}s", name.removesuffix("s"), name.removesuffix("es")]
    if name.endswith("ies"):
        forms.append(f"{name[:-3]}y")
    return next((table[form] for form in forms if form in table), None)


def _unknown(names: Sequence[str], known: Sequence[str]) -> Exception:
    """The error for names that nothing explains: for all of them as one if that is nearer."""
    from attenergy.registry import ArgumentError, nearest

    joined = " ".join(names)
    name = joined if nearest(joined, known) else names[0]
    hint = nearest(name, known)
    said = f"no explanation {name!r}{f' ({hint})' if hint else ''}"
    return ArgumentError(f"{said}; `attenergy explain` lists all", topic="unknown-name")
