"""Redundancy of what the command line analyses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attenergy.analysis.dropping.result import Redundancy
from attenergy.analysis.dropping.search import redundancy
from attenergy.analysis.result import Progress
from attenergy.analysis.subject import Subject
from attenergy.attention.saving.format import check_target


def redundancy_of_subject(
    subject: Subject, options: Mapping[str, Any], progress: Progress | None
) -> Redundancy:
    """`redundancy` on the subject's batches, judged by its task if it has one.

    Args:
        subject: the model and what it is fed.
        options: of the catalogue.
        progress: called with how much is done.
    """
    settings = dict(options)
    folder = settings.pop("save_smaller")
    if folder:
        check_target(Path(folder), force=False)  # before the work, not after it
    result = redundancy(
        subject.model,
        subject.batches,
        evaluate=None if subject.task is None else subject.evaluate,
        seed=subject.seed,
        progress=progress,
        **settings,
    )
    if folder and result.smaller is not None:
        result.save_smaller(folder)
    return result
