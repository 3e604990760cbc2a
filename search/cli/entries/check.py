"""The command `energies check`: does an entry obey the laws of the toolkit?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from attenergy.registry import ArgumentError
from attenergy.registry.errors import explained_by
from attenergy.registry.printable import printable
from attenergy.search.cli.parameters import values
from attenergy.search.cli.parameters.completion import complete_energy
from attenergy.search.cli.parameters.options import Format, FormatOption, emit, load

if TYPE_CHECKING:
    from rich.console import RenderableType

    from attenergy.registry import EnergySpec, Problem, Registry
    from attenergy.testing import LawResult


def check(
    energy: Annotated[
        str,
        typer.Argument(
            metavar="FILE[:NAME]|FORMULA|NAME|MODULE:NAME",
            help="A registry file, or one energy of it; a formula; a name in the registry; or a "
            "function or class of a module of yours.",
            autocompletion=complete_energy,
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A parameter, choice or option; not for a file."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--law", metavar="LAW", help="Of the laws this one, as 4 or law-descent; repeatable."
        ),
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Check that energies obey the laws of the toolkit; exit code 1 if one does not.

    What is being checked is shown on the error stream; the last line says how it ended.
    """
    wanted = laws_of(only or ())
    path, chosen = file_and_name(energy)
    given = values.assignments(settings, "--set")
    if not names_file(path, chosen):
        entries = {printable(energy): entry_of(energy, given)}
    elif given:
        raise ArgumentError(
            "--set is for a single energy; a file says its own settings", topic="energy-argument"
        )
    else:
        entries = entries_of(path, chosen)
    laws = list(_checked(entries, wanted))
    data = [
        {"energy": name, "law": r.law, "passed": r.passed, "figure": r.figure, "note": r.note}
        for name, r in laws
    ]
    emit(form, data, _laws(laws))
    summary = f"{_summary(laws)} {explained_by(_names_of_broken(laws))}".rstrip()
    typer.echo(summary, err=form is Format.JSON)
    if any(law.passed is False for _, law in laws):
        raise typer.Exit(1)


def names_file(path: Path, chosen: str | None) -> bool:
    """Whether what was given is a registry file, perhaps with a name in it."""
    is_file = path.is_file() or path.suffix in {".yaml", ".yml"}
    return is_file or (chosen is None and path.exists())


def entry_of(energy: str, settings: dict[str, Any]) -> EnergySpec:
    """The entry of a name, a formula, or what a module holds."""
    from attenergy.energies import source_of

    named: Any = energy
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", energy):
        module, _, name = energy.partition(":")
        try:
            named = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ArgumentError(
                f"{energy}: {error} (and there is no such file)", topic="energy-argument"
            ) from error
    source = source_of(named, settings)
    if source.made is None:
        source.make(4)  # what is no energy shows here, and is no law that fails
    return source.entry()


def entries_of(path: Path, chosen: str | None) -> dict[str, EnergySpec]:
    """The energies of a file, or the one chosen, whose formulas and solvers are right.

    Raises:
        RegistryError: they are not.
    """
    from attenergy.attention.solvers.catalogue import solver_problems
    from attenergy.energies import formula_problems
    from attenergy.registry import RegistryError

    registry = load([path])
    names = _energies_of(registry, path, chosen)
    problems = formula_problems(registry, names) + solver_problems(registry, names)
    problems = problems or list(_not_made(registry, names))
    if problems:
        raise RegistryError(problems)
    return {name: registry.energies[name] for name in names}


def _not_made(registry: Registry, names: list[str]) -> Iterator[Problem]:
    """The entries of which no energy can be made, as one that lacks an option of its class."""
    from attenergy.energies import make_energy
    from attenergy.registry import AttenergyError, Problem

    for name in names:
        try:
            make_energy(registry.energies[name], dim=4)
        except AttenergyError as error:
            place = registry.places["energies", name]
            yield Problem(place, f"energies.{name}", str(error), error.topic)


def file_and_name(text: str) -> tuple[Path, str | None]:
    """`FILE:NAME` in its parts, and anything else as a path without a name."""
    # A colon may be part of a path (a drive letter), so the whole text is tried as a file first.
    path, _, name = text.rpartition(":")
    if path and name and not Path(text).exists():
        return Path(path), name
    return Path(text), None


def _energies_of(registry: Registry, path: Path, chosen: str | None) -> list[str]:
    from attenergy.registry import UnknownName

    def here(name: str) -> bool:
        place = registry.places.get(("energies", name))
        return place is not None and Path(place.file).resolve() == path.resolve()

    names = [name for name in registry.energies if here(name)]
    if chosen is not None:
        if chosen not in names:
            raise UnknownName("energy", chosen, names, place=str(path))
        return [chosen]
    if not names:
        raise ArgumentError(f"{path}: holds no energies", topic="energy-argument")
    return names


def _laws(laws: list[tuple[str, LawResult]]) -> RenderableType:
    from attenergy.search.results import formats

    words = {True: "ok", False: "FAILS", None: formats.NOTHING}
    rows = [
        [
            name,
            law.law,
            "WARNS" if law.warning else words[law.passed],
            "" if law.figure is None else f"{law.figure:.1e}",
            law.note,
        ]
        for name, law in laws
    ]
    return formats.rich_table(("energy", "law", "result", "figure", "note"), rows, left=5)


def laws_of(wanted: Iterable[str]) -> list[str]:
    """Laws by their numbers, or the names that `attenergy explain` has; all if none are named.

    Raises:
        UnknownName: there is no such law.
    """
    from attenergy.registry import UnknownName
    from attenergy.registry.explained import LAWS as EXPLAINED
    from attenergy.testing import LAWS

    names = {law.partition(" ")[0]: law for law in LAWS}
    names |= {law.name: law.label for law in EXPLAINED if law.label in LAWS}
    for name in wanted:
        if name not in names:
            raise UnknownName("law", name, names)
    chosen = {names[name] for name in wanted}
    return [law for law in LAWS if law in chosen or not chosen]


def _checked(
    entries: dict[str, EnergySpec], laws: Sequence[str]
) -> Iterator[tuple[str, LawResult]]:
    """The laws one by one, with a line that says which: redrawn in place on a terminal."""
    from rich.console import Console

    from attenergy.search.results import formats
    from attenergy.testing import check_law

    console = Console(stderr=True)
    total = len(entries) * len(laws)
    with console.status("") as status:
        for number, (name, law) in enumerate(product(entries, laws)):
            status.update(f"{escape(name)}: {escape(law)} ({number + 1} of {total})")
            if not console.is_terminal and not number % len(laws):
                each = formats.counted(len(laws), "law")
                typer.echo(f"checking {printable(name)}: {each}", err=True)
            yield name, check_law(law, entries[name])


def _names_of_broken(laws: list[tuple[str, LawResult]]) -> list[str]:
    """The names under which the laws that do not hold are explained."""
    from attenergy.registry.explained import LAWS

    broken = {law.law for _, law in laws if law.passed is False}
    return [law.name for law in LAWS if law.label in broken]


def _summary(laws: list[tuple[str, LawResult]]) -> str:
    """`all 9 laws hold for mine; 3 do not apply`, or which energies break some."""
    from attenergy.search.results import formats

    names = list(dict.fromkeys(name for name, _ in laws))
    broken = Counter(name for name, law in laws if law.passed is False)
    held = sum(law.passed is True for _, law in laws)
    warnings = [law.warning for _, law in laws if law.warning]
    rest = sum(law.passed is None and not law.warning for _, law in laws)
    about = printable(names[0]) if len(names) == 1 else f"{len(names)} energies"
    others = f"; {rest} {'does' if rest == 1 else 'do'} not apply" if rest else ""
    if warnings:
        each = ", ".join(dict.fromkeys(warnings))
        others += f"; {formats.counted(len(warnings), 'warning')}: {each}"
    if not broken:
        few = {0: "no law is broken by", 1: "1 law holds for"}
        return f"{few.get(held, f'all {held} laws hold for')} {about}{others}"
    who = ", ".join(f"{printable(name)} breaks {number}" for name, number in broken.items())
    return f"{who}; {held} of {held + broken.total()} laws hold{others}"
