"""Completion in a shell: names of energies, mixers, tasks, bundles, studies and explanations.

`attenergy --install-completion` sets it up. A shell asks at every press of the tab key, so nothing
here imports PyTorch, and whatever goes wrong completes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import typer

#: Takes what was typed so far and gives the words that go on from it.
Completer = Callable[[str], list[str]]


def _registered(*kinds: str) -> Iterator[str]:
    from attenergy.registry import load_registry

    registry = load_registry()
    for kind in kinds:
        yield from getattr(registry, kind)


def _studies(folder: Path) -> Iterator[str]:
    for study in sorted(folder.iterdir()):
        if any((study / file).is_file() for file in ("records.jsonl", "matrix.json")):
            yield study.name


def _explanations() -> Iterator[str]:
    from attenergy.registry.explained import EXPLAINED
    from attenergy.registry.explained.glossary import glossary_words

    yield from EXPLAINED
    yield from glossary_words()


def _started(names: Iterator[str], incomplete: str, separators: str = "") -> list[str]:
    """Names that begin as the last part of the text does, behind the parts before it."""
    cut = max((incomplete.rfind(each) for each in separators), default=-1) + 1
    before, last = incomplete[:cut], incomplete[cut:]
    with suppress(Exception):  # a broken registry is for the command to report
        return [before + name for name in names if name.startswith(last)]
    return []


def complete_task(incomplete: str) -> list[str]:
    """One task, or several with commas between them."""
    return _started(_registered("tasks"), incomplete, ",")


def complete_bundle(incomplete: str) -> list[str]:
    """One bundle of tasks."""
    return _started(_registered("bundles"), incomplete)


def complete_layers(incomplete: str) -> list[str]:
    """Energies and mixers, with commas between them, or stacks and groups of them."""
    return _started(_registered("energies", "mixers"), incomplete, ",/+")


def complete_energy(incomplete: str) -> list[str]:
    """One energy."""
    return _started(_registered("energies"), incomplete)


def complete_study(ctx: typer.Context, incomplete: str) -> list[str]:
    """A study in the folder `runs`, or in that of `--folder`."""
    return _started(_studies(Path(ctx.params.get("folder") or "runs")), incomplete)


def complete_explanation(incomplete: str) -> list[str]:
    """What `attenergy explain` knows."""
    return _started(_explanations(), incomplete)
