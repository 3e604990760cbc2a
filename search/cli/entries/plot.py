"""The command `energies plot`: the landscape of an energy, in pictures and numbers."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from attenergy.registry import ArgumentError, Registry
from attenergy.registry.printable import printable
from attenergy.search.cli.entries.check import entries_of, entry_of, file_and_name, names_file
from attenergy.search.cli.parameters import values
from attenergy.search.cli.parameters.completion import complete_energy
from attenergy.search.cli.parameters.options import Format, FormatOption, RegistryOption, emit, load

if TYPE_CHECKING:
    from rich.console import RenderableType

    from attenergy.analysis.result import Result
    from attenergy.registry import EnergySpec

#: Where results are written if nobody says where.
_FOLDER = Path("landscapes")
#: Suffixes of single files that are written, and of some that somebody may hope for.
_WRITTEN, _NOT_WRITTEN = {".png", ".svg", ".gif"}, {".pdf", ".eps", ".jpg", ".jpeg", ".json", ".md"}


def plot(  # noqa: PLR0913, PLR0917 - the signature is the command line
    energy: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE[:NAME]|FORMULA|MODULE:NAME",
            help="A name in the registry; an energy of a registry file; a formula; or a function "
            "or class of a module of yours.",
            autocompletion=complete_energy,
        ),
    ],
    beta: Annotated[float | None, typer.Option(help="Short for --set beta=B.", metavar="B")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter, choice or option."),
    ] = None,
    patterns: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|N",
            help="Stored patterns: a .npy, .csv, .tsv, .txt or .json file, one pattern a row; or "
            "how many to plant. Wider than two: the plane of their principal components is drawn.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Of planted patterns.", metavar="N")
    ] = 0,
    step_size: Annotated[
        float | None, typer.Option(min=1e-6, help="Gamma; by default the entry's.", metavar="X")
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=LOW:HIGH[:COUNT]",
            help="How minima merge and split while a parameter grows (beta=0.1:10).",
        ),
    ] = None,
    weights: Annotated[
        bool, typer.Option("--weights", help="The weight of a pattern against its score, too.")
    ] = False,
    gif: Annotated[
        bool, typer.Option("--gif", help="A small animation of a retrieval, too.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            *("--out", "--output"),
            "-o",
            metavar="DIR|FILE",
            help="Folder of the files, landscapes/NAME by default; or one .png, .svg or .gif.",
        ),
    ] = None,
    registry: RegistryOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Draw an energy: surface, stored patterns, minima, basins, relaxations.

    Prints the finding and a table, and writes pictures (PNG and SVG), numbers (JSON) and a page
    (Markdown). With --sweep and --weights that much more; spins have levels instead of a surface.
    """
    given = values.assignments(settings, "--set")
    if beta is not None:
        if "beta" in given:
            raise ArgumentError("beta is given twice, by --beta and by --set")
        given["beta"] = beta
    if output is not None:
        _check_output(output)
    if step_size is not None and not math.isfinite(step_size):
        raise ArgumentError(f"--step-size must be a finite number, got {step_size}")
    loaded = load(registry)
    span = None if sweep is None else _span(sweep)
    if span is not None and span[0] in given:
        raise ArgumentError(f"'{span[0]}' is swept and set to {given[span[0]]}; leave one out")
    swept = {} if span is None else {span[0]: span[1]}
    named, name = _energy(energy, given | swept, loaded)
    results = _results(
        named, name, given, patterns=_patterns(patterns), seed=seed, step_size=step_size,
        span=span, weights=weights, registry=loaded,
    )  # fmt: skip
    emit(
        form,
        {result.name: _data(result) for result in results},
        _page(results),
    )
    files = _written(results, output, name, gif)
    names = ", ".join(file.name for file in files)
    typer.echo(f"written to {files[0].parent}: {names}", err=True)


def _check_output(output: Path) -> None:
    """Say at once, not after the work, that nothing can be written there."""
    form = output.suffix.lower()
    if form in _NOT_WRITTEN and not output.is_dir():
        raise ArgumentError(f"-o {output}: one file is .png, .svg or .gif, got {form}; or a folder")
    if form not in _WRITTEN and output.exists() and not output.is_dir():
        raise ArgumentError(f"-o {output}: is a file, and a folder or a picture is written")
    if form in _WRITTEN and output.is_dir():
        raise ArgumentError(f"-o {output}: is a folder, and its name is that of a picture")


def _energy(text: str, given: dict[str, Any], loaded: Registry) -> tuple[Any, str]:
    """What names the energy in Python, and what it is called."""
    path, chosen = file_and_name(text)
    if names_file(path, chosen):
        entries = entries_of(path, chosen)
        if len(entries) > 1:
            raise ArgumentError(
                f"{path} holds {len(entries)} energies; name one: "
                f"{', '.join(f'{path}:{name}' for name in entries)}"
            )
        ((name, entry),) = entries.items()
        return entry, name
    if text in loaded.energies:
        return loaded.energies[text], text
    return entry_of(text, given), printable(text)


def _results(
    energy: EnergySpec,
    name: str,
    given: dict[str, Any],
    *,
    patterns: Any,
    seed: int,
    step_size: float | None,
    span: tuple[str, float, float, int] | None,
    weights: bool,
    registry: Registry,
) -> list[Result]:
    from rich.console import Console

    from attenergy.analysis import landscape, spin_levels, sweep_minima, weight_curves
    from attenergy.energies import domain_of

    shared: dict[str, Any] = {"registry": registry, "name": name, "seed": seed}
    results: list[Result] = []
    console = Console(stderr=True)
    with console.status("") as status:

        def progress(what: str, done: int, of: int) -> None:
            status.update(f"{escape(name)}: {escape(what)} ({min(done + 1, of)} of {of})")

        shared["progress"] = progress
        curves = (
            weight_curves(energy, names=[name], registry=registry, **given) if weights else None
        )
        if domain_of(energy).discrete:
            if step_size is not None:
                raise ArgumentError("spins flip: they have no step size")
            results.append(spin_levels(energy, patterns, **shared, **given))
        else:
            results.append(landscape(energy, patterns, step_size=step_size, **shared, **given))
        if span is not None:
            parameter, low, high, count = span
            results.append(
                sweep_minima(
                    energy, patterns, parameter=parameter, low=low, high=high, count=count,
                    **shared, **given,
                )
            )  # fmt: skip
        if curves is not None:
            results.append(curves)
    return results


def _patterns(text: str | None) -> Any:
    """A number of patterns to plant, or those of a file; None if nothing is said."""
    from attenergy.analysis.landscapes.patterns import read_patterns

    if text is None:
        return None
    return int(text) if text.isdecimal() else read_patterns(Path(text))


def _span(text: str) -> tuple[str, float, float, int]:
    """`beta=0.1:10` or `beta=0.1:10:40`."""
    number = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
    parts = re.fullmatch(rf"([A-Za-z]\w*)=({number}):({number})(?::(\d+))?", text.strip())
    if parts is None:
        raise typer.BadParameter(
            f"{text!r} is not NAME=LOW:HIGH or NAME=LOW:HIGH:COUNT", param_hint="--sweep"
        )
    return parts[1], float(parts[2]), float(parts[3]), int(parts[4] or 25)


def _data(result: Result) -> dict[str, Any]:
    from attenergy.analysis.result import finite

    return {"sentence": result.sentence, **finite(result.numbers()), "notes": result.notes()}


def _page(results: list[Result]) -> RenderableType:
    """The finding, tables and notes of every result."""
    from rich.console import Group

    from attenergy.search.results import formats

    parts: list[RenderableType] = []
    for number, result in enumerate(results):
        parts += [""] * (number > 0) + [formats.plain_text(result.sentence, "bold")]
        for table in result.tables():
            parts += ["", formats.plain_text(table.title, "dim")]
            parts.append(formats.rich_table(table.header, table.rows, left=table.texts))
        if result.notes():
            parts += ["", formats.rich_list(result.notes())]
    return Group(*parts)


def _written(results: list[Result], output: Path | None, name: str, gif: bool) -> list[Path]:
    """Write what is to be written; return the files."""
    from attenergy.analysis import Landscape, save_retrieval
    from attenergy.registry.files import write_bytes_atomically

    surface = next((each for each in results if isinstance(each, Landscape)), None)
    form = "" if output is None else output.suffix.lower()
    if (gif or form == ".gif") and surface is None:
        raise ArgumentError("spins flip: there is no retrieval to animate")
    if output is not None and form == ".gif":
        assert surface is not None
        return [save_retrieval(surface, output)]
    if output is not None and form in {".png", ".svg"}:
        file = io.BytesIO()
        results[-1].pictures()[0].write(file, form[1:])
        write_bytes_atomically(output, file.getvalue())
        folder, files = output.parent, [output]
    else:
        called = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:48] or "energy"
        folder = _FOLDER / called if output is None else output
        files = [path for result in results for path in result.save(folder)]
    if gif and surface is not None:
        files.append(save_retrieval(surface, folder / "retrieval.gif"))
    return files
