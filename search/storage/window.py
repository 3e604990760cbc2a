"""The trials that a sampler is shown: all of a small study, of a large one the best and the latest.

A sampler with a model of the trials costs more with each of them, and TPE takes its good ones from
the best 25 alone.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence

from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from attenergy.search.storage.optuna_private import read_trials, trial_id
from attenergy.search.storage.trial_index import TrialBrief

_SCORED = (TrialState.COMPLETE, TrialState.PRUNED)
_SHARE_OF_BEST = 5  # one of so many


class SamplerWindow:
    """Chooses the trials, and keeps those that are chosen.

    Up to `size` trials with a score, all are shown; of more, the best fifth of `size` (of each of
    several objectives an equal part) and the latest.

    Args:
        storage: where the study is.
        study: its id there.
        size: how many trials with a score are shown.
        directions: one per objective.
        left_out: name of the user attribute of trials that are not among the best.
    """

    def __init__(
        self,
        storage: RDBStorage,
        study: int,
        size: int,
        directions: Sequence[StudyDirection],
        left_out: str = "",
    ) -> None:
        self._storage, self._study, self._size = storage, study, size
        self._left_out = left_out
        self._signs = [1.0 if d == StudyDirection.MINIMIZE else -1.0 for d in directions]
        self._best: list[list[tuple[float, int]]] = [[] for _ in self._signs]
        self._latest: list[int] = []
        self._count = 0
        self._whole: dict[int, FrozenTrial] = {}

    def add(self, finished: Iterable[TrialBrief]) -> None:
        """Take in trials that have finished."""
        most = max(1, self._size // _SHARE_OF_BEST // len(self._signs))
        for trial in finished:
            if trial.state not in _SCORED:
                continue
            self._count += 1
            insort(self._latest, trial.id)
            del self._latest[: -self._size]
            if self._left_out in trial.attributes:
                continue
            for number, value in trial.values.items():
                insort(self._best[number], (self._signs[number] * value, trial.id))
                del self._best[number][most:]

    def chosen(self) -> set[int]:
        """Keys of the finished trials that are shown."""
        if self._count <= self._size:
            return set(self._latest)
        best = {key for ranked in self._best for _, key in ranked}
        others = [key for key in reversed(self._latest) if key not in best]
        return best.union(others[: self._size - len(best)])

    def trials(self, running: Iterable[int]) -> list[FrozenTrial]:
        """The trials that are shown, in the order of their numbers.

        Args:
            running: keys of those that run, which are shown too.
        """
        chosen, now = self.chosen(), set(running)
        self._whole = {key: self._whole[key] for key in self._whole.keys() & chosen}
        read = read_trials(self._storage, self._study, now | (chosen - self._whole.keys()))
        whole = self._whole | {trial_id(trial): trial for trial in read}
        self._whole = {key: whole[key] for key in chosen}
        return sorted(whole.values(), key=lambda trial: trial.number)
