"""The analyses of a study's winner and of its baseline, for its report."""

from __future__ import annotations

from collections.abc import Sequence

from attenergy.registry import ArgumentError
from attenergy.search.analyses.series import choose
from attenergy.search.analyses.session import Session
from attenergy.search.analyses.sources import BASELINE, of_run
from attenergy.search.analyses.subjects import Feeding
from attenergy.search.artifacts.select_run import NoSuchRun
from attenergy.search.display.analyses import AnalysisLines
from attenergy.search.report.analyses import Analysed
from attenergy.search.results.study_folder import Study


def analyse_study(
    study: Study, names: Sequence[str], display: AnalysisLines, *, force: bool = False
) -> list[Analysed]:
    """Analyse the best run and that of the baseline, each in its folder of the study.

    The baseline is left out, and that is said, where it is the winner, has no score or no weights.

    Args:
        study: with its records.
        names: of analyses; all that fit if there are none.
        display: shows what happens.
        force: do them again, even if they are there.

    Raises:
        UnknownName: there is no such analysis.
        ValueError: the best run has no weights.
        Exception: an analysis has a mistake in it; the others are saved.
    """
    choices = choose(names, {})
    sources = [of_run(study, "best")]
    if sources[0].about["variant"] == study.baseline:
        display.message(f"the best run is one of the baseline, {study.baseline}: it stands alone")
    else:
        try:
            sources.append(of_run(study, BASELINE))
        except (ArgumentError, NoSuchRun) as error:
            display.message(f"without the baseline: {error}")
    session = Session(sources, Feeding())
    try:
        session.run(choices, display, force=force)
    finally:
        session.write()
    for bug in session.bugs:
        raise bug
    return session.analysed
