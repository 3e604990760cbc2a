"""What everything in a search works with."""

from __future__ import annotations

from dataclasses import dataclass

from optuna.storages import RDBStorage

from attenergy.search.planning.objectives import Objective
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.runs.events import Listener
from attenergy.search.runs.records import RunStore
from attenergy.search.storage.heartbeat import Heartbeat
from attenergy.search.storage.study_lock import StudyLock

_LONG_TEXTS = ("postgresql", "sqlite")  # databases in which a text may be as long as a record


@dataclass(frozen=True)
class SearchContext:
    """A plan, what follows from it, and the places where its results go.

    Attributes:
        matched: variants that are given as many trials as the most tried of the others.
    """

    plan: SearchPlan
    space: Space
    objectives: tuple[Objective, ...]
    matched: tuple[str, ...]
    storage: RDBStorage
    store: RunStore
    listener: Listener
    lock: StudyLock
    heartbeat: Heartbeat

    @property
    def publishes(self) -> bool:
        """Whether records go to the storage too, so that drivers with other folders have them."""
        return self.plan.storage is not None and self.storage.engine.dialect.name in _LONG_TEXTS
