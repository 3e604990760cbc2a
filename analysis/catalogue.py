"""Every analysis by its name on the command line; a new one is one entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from attenergy.analysis.result import Progress, Result
from attenergy.analysis.subject import Subject


@dataclass(frozen=True)
class AnalysisKind:
    """One row of the catalogue.

    Attributes:
        name: as on the command line.
        title: as a heading.
        about: the question that it answers, in one line.
        run: makes the result of a subject, with options by name and a call for progress.
        needs: what a subject must have: `task`, `untrained`, or nothing.
    """

    name: str
    title: str
    about: str
    run: Callable[[Subject, Mapping[str, Any], Progress | None], Result]
    needs: str = ""


#: Name -> analysis.
ANALYSES: dict[str, AnalysisKind] = {}
