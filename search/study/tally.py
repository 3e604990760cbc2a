"""How many trials of a study count, of which variants they are and who proposed them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from attenergy.search.runs.config import Proposer
from attenergy.search.runs.records import RunStore
from attenergy.search.storage.trial_index import TrialBrief
from attenergy.search.study.attributes import (
    BEYOND,
    CONTROL,
    DEFAULT,
    EARLIER,
    MATCHED,
    RETRIED,
    RUN,
    WISH,
    is_untrained,
    proposer,
)

#: The user attributes of trials that a driver counts by.
COUNTED = (RUN, RETRIED, DEFAULT, WISH, CONTROL, MATCHED, EARLIER, BEYOND)


class Tally:
    """Counts every finished trial once, so that one more costs as much in any study.

    Args:
        store: a trial counts if and only if its run is recorded there.
    """

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._recorded: set[str] = set()
        self._unrecorded: set[str] = set()
        self._variants: Counter[str] = Counter()
        self._proposers: Counter[Proposer] = Counter()
        self.untrained: Counter[str] = Counter()  # variant -> trials ended for their cost

    def add(self, finished: Iterable[TrialBrief]) -> None:
        """Take in trials that have finished."""
        for trial in finished:
            self._unrecorded.add(trial.attributes.get(RUN, ""))
            self.untrained[str(trial.parameter)] += is_untrained(trial.attributes)
            _count(trial, self._variants, self._proposers)

    def recorded(self, running: Iterable[TrialBrief]) -> int:
        """How many runs of trials are recorded: an interrupted trial and its second try are one."""
        new = {key for key in self._unrecorded if self._store.get(key) is not None}
        self._unrecorded -= new
        self._recorded |= new
        keys = {trial.attributes.get(RUN, "") for trial in running} - self._recorded
        return len(self._recorded) + sum(self._store.get(key) is not None for key in keys)

    def with_open(self, still_open: Iterable[TrialBrief]) -> tuple[Counter[str], Counter[Proposer]]:
        """First tries by their variant and by who proposed them.

        Args:
            still_open: trials that wait or run, which count too.
        """
        variants, proposers = self._variants.copy(), self._proposers.copy()
        for trial in still_open:
            _count(trial, variants, proposers)
        return variants, proposers


def _count(trial: TrialBrief, variants: Counter[str], proposers: Counter[Proposer]) -> None:
    if RETRIED not in trial.attributes and not is_untrained(trial.attributes):
        variants[str(trial.parameter)] += 1
        proposers[proposer(trial.attributes)] += 1
