"""Pictures and tables of the story of a discovery, from the records in its folder.

    python benchmarks/discovery/story.py FOLDER [--pictures DIR] [--only NAME,NAME] [--list]

Needs `discovered.json` and `finals/*/` of the folder, nothing else. Writes every picture, or those
of `--only`, as `discovery-NAME.png` (docs/pictures by default), and `story.md` into the folder: the
sentence and every table, in Markdown.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from attenergy.analysis.drawing import Picture
from attenergy.analysis.landscapes.landscape import landscape
from attenergy.analysis.landscapes.weight_curves import weight_curves
from attenergy.registry import AttenergyError, EnergySpec, Registry, load_registry
from attenergy.registry.files import write_atomically
from attenergy.search.discovery.results.discovery import read_discovery
from attenergy.search.discovery.results.entries import entries_of
from attenergy.search.discovery.results.finding import judge, read_finals
from attenergy.search.discovery.results.page import drawings
from attenergy.search.discovery.results.write import as_markdown

DOCS = Path(__file__).resolve().parents[2] / "docs" / "pictures"
PATTERNS, DPI = 5, 110


def inside(name: str, spec: EnergySpec, nearest: str, registry: Registry) -> dict[str, Picture]:
    """Landscapes and weights of the winner and of the known energy that is nearest to it."""
    specs = {name: spec}
    if nearest in registry.energies:
        specs[nearest] = registry.energies[nearest]
    drawn = {}
    for label, (called, entry) in zip(("winner", "nearest"), specs.items(), strict=False):
        try:
            surface = landscape(entry, PATTERNS, name=called)
            drawn[f"landscape-{label}"] = surface.pictures()[0]
        except (AttenergyError, ArithmeticError, RuntimeError) as error:
            print(f"no landscape of {called}: {error}", file=sys.stderr)
    try:
        curves = weight_curves(*specs.values(), names=list(specs), low=-8.0, high=8.0)
        drawn["weights"] = curves.pictures()[0]
    except AttenergyError as error:
        print(f"no weights: {error}", file=sys.stderr)
    return drawn


def every_picture(folder: Path) -> dict[str, Picture]:
    """Name -> picture, of all that the folder has data for."""
    discovery, registry = read_discovery(folder), load_registry(plugins=False)
    winner = judge(discovery, read_finals(folder, discovery)).winner
    drawn = {picture.name: picture for picture in drawings(folder, discovery)}
    entries = entries_of(discovery, registry)
    if winner is not None and winner.name in entries:
        drawn |= inside(winner.name, entries[winner.name], winner.nearest, registry)
    return drawn


def main(words: list[str] | None = None) -> None:
    """Write pictures and tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=Path, default=DOCS)
    parser.add_argument("--only", default="", help="names of pictures, a,b")
    parser.add_argument("--list", action="store_true", help="name the pictures that there are")
    given = parser.parse_args(words)
    try:
        _write(parser, given)
    except OSError as error:
        parser.exit(2, f"{error.filename or given.folder}: {error.strerror or error}\n")
    except AttenergyError as error:
        parser.exit(2, f"{error}\n")


def _write(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    drawn = every_picture(given.folder)
    if given.list:
        print("\n".join(drawn))
        return
    chosen = given.only.split(",") if given.only else list(drawn)
    if unknown := [name for name in chosen if name not in drawn]:
        parser.error(f"no picture {unknown[0]!r}; there are {', '.join(drawn)}")
    given.pictures.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        path = given.pictures / f"discovery-{name}.png"
        drawn[name].figure.savefig(path, dpi=DPI, facecolor="white")
        print(path)
    story = given.folder / "story.md"
    write_atomically(story, as_markdown(given.folder, read_discovery(given.folder)))
    print(story)


if __name__ == "__main__":
    main()
