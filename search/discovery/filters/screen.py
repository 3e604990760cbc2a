"""Filters in milliseconds, before anything is trained: cheapest first, each counted by its name."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from attenergy.energies.language import FormulaError
from attenergy.search.discovery.filters.bounded import is_bounded
from attenergy.search.discovery.filters.cost import MOST_TIMES, is_cheap, softmax_count
from attenergy.search.discovery.filters.fingerprint import Fingerprint, is_known
from attenergy.search.discovery.filters.finite import is_finite
from attenergy.search.discovery.filters.laws import keeps_laws
from attenergy.search.discovery.filters.signal import has_signal
from attenergy.search.discovery.filters.subject import Subject
from attenergy.search.discovery.formulas import Candidate

#: Most nodes of a tree in normal form.
MOST_NODES = 100


@dataclass(frozen=True)
class Filter:
    """One reason for which a formula is not trained.

    Attributes:
        name: what counts and tables call it.
        check: why a candidate fails, given the fingerprint keys that are known; "" if it passes.
        explanation: one line for the report.
    """

    name: str
    check: Callable[[Subject, Collection[str]], str]
    explanation: str


@dataclass(frozen=True)
class Screening:
    """What the filters say of a candidate.

    Attributes:
        rejected_by: the name of the filter; "" if all passed.
        reason: one sentence.
        fingerprint: what the energy does; None if it was rejected before that was known.
        milliseconds: processor time of this thread.
        descends: whether the entry may promise that no step raises the energy.
    """

    rejected_by: str = ""
    reason: str = ""
    fingerprint: Fingerprint | None = None
    milliseconds: float = 0.0
    descends: bool = False


def _types(subject: Subject, known: Collection[str]) -> str:
    if subject.candidate.length > MOST_NODES:
        return f"the formula has {subject.candidate.length} parts, at most {MOST_NODES} are allowed"
    missing = [name for name in ("xi", "X") if name not in subject.tree.names]
    return f"the energy does not read {' or '.join(missing)}" if missing else ""


def _known(subject: Subject, known: Collection[str]) -> str:
    if subject.fingerprint is None:
        return "no setting of the parameters gives an update"
    if is_known(subject.fingerprint.key, known):
        return "equal, up to parameters, to an energy that was there before"
    return ""


FILTERS: tuple[Filter, ...] = (
    Filter("types", _types, f"a scalar of at most {MOST_NODES} parts that reads xi and X"),
    Filter(
        "signal",
        lambda subject, known: has_signal(subject),
        "state and patterns decide the update together, and gradients reach both",
    ),
    Filter(
        "bounded",
        lambda subject, known: is_bounded(subject),
        "far from the origin the energy does not fall on and on",
    ),
    Filter(
        "finite",
        lambda subject, known: is_finite(subject),
        "values and gradients are numbers, also at 0, far out and with few digits",
    ),
    Filter("known", _known, "no earlier energy has the same updates, up to its parameters"),
    Filter(
        "cost",
        lambda subject, known: is_cheap(subject),
        f"a step computes at most {MOST_TIMES:g} times as many numbers as softmax's",
    ),
    Filter(
        "laws",
        lambda subject, known: keeps_laws(subject),
        "masks, derivatives and, where it is declared, descent are right",
    ),
)


def screen(
    candidate: Candidate, known: Collection[str] = (), *, excused: Collection[str] = ()
) -> Screening:
    """Look at a candidate for milliseconds, and say whether it is worth training.

    Args:
        candidate: a `Candidate`.
        known: keys of fingerprints that were met before.
        excused: names of filters that it need not pass.

    Returns:
        What the first filter that it does not pass says, or all of them. An error of the
        evaluation is a reason to reject, never an exception (but `MemoryError`).

    Example:
        >>> from attenergy.search.discovery.filters.screen import screen
        >>> from attenergy.search.discovery.formulas import Candidate
        >>> screen(Candidate.from_formula("0.5*|xi|^2 - beta*|X @ xi|^2")).rejected_by
        'bounded'
    """
    softmax_count()  # once in a process, which is no candidate's time
    begin = time.thread_time()
    subject = Subject(candidate)
    rejected_by, reason = _first_failure(subject, known, excused)
    fingerprint = subject.__dict__.get("fingerprint")
    spent = 1e3 * (time.thread_time() - begin)
    return Screening(rejected_by, reason, fingerprint, spent, subject.descends)


def _first_failure(
    subject: Subject, known: Collection[str], excused: Collection[str]
) -> tuple[str, str]:
    for row in FILTERS:
        if row.name in excused:
            continue
        try:
            reason = row.check(subject, known)
        except (MemoryError, FormulaError) as error:
            if isinstance(error, MemoryError):
                raise
            reason = f"the language refuses it: {error}"
        except Exception as error:  # of a formula that no person would write
            reason = f"{type(error).__name__}: {error}"
        if reason:
            return row.name, reason
    return "", ""
