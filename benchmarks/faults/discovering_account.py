"""What trials and records of a discovery say, held against each other."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from attenergy.registry import Registry
from attenergy.search.discovery.ladder.rungs import Ladder, Rung
from attenergy.search.discovery.plan import DiscoverPlan
from attenergy.search.discovery.study.attributes import (
    ARM,
    BAR,
    FORMULA,
    OPERATION,
    PARENTS,
    RESULT,
    individual_of,
    result_of,
    values_of,
)
from attenergy.search.discovery.study.climb import Climb
from attenergy.search.runs.records import RECORDS, RunStore
from attenergy.search.storage.database import latest, open_storage

#: Of a result, what is not followed from records here: time, and FLOPs beside softmax's.
_UNFOLLOWED = ("seconds", "cost")


@dataclass
class Account:
    """What there is, and what does not agree.

    Attributes:
        trials: number -> formula, and its result once it has ended.
        recorded: keys of all records.
        failed: why runs gave no result, and how many.
        wrong: kind of mistake -> how many.
        runs: number -> keys of the runs of a trial that has ended and was followed.
    """

    trials: dict[int, dict[str, Any]] = field(default_factory=dict)
    recorded: set[str] = field(default_factory=set)
    failed: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    runs: dict[int, tuple[str, ...]] = field(default_factory=dict)


def account(
    plan: DiscoverPlan, registry: Registry, before: Account | None, *, ended: bool
) -> Account:
    """Hold trials and records against each other.

    Args:
        plan: of the discovery, at which nobody is at work.
        registry: with its tasks.
        before: an earlier account, nothing of which may be lost.
        ended: whether the discovery came to its end, so that no trial may be open.
    """
    here, path = Account(), Path(plan.folder) / RECORDS
    if not path.exists():
        return here
    lines = path.read_bytes().split(b"\n")[:-1]  # a last one that is cut short was never written
    keys = [json.loads(line)["key"] for line in lines]
    here.recorded = set(keys)
    here.wrong["recorded twice"] = len(keys) - len(here.recorded)
    store, ladder = RunStore(plan.folder), Ladder.of(plan.tasks, registry)
    here.failed.update(
        re.sub(r"\d+", "#", record.reason.split(";", maxsplit=1)[0])
        for record in store.all()
        if record.status != "complete"
    )
    with open_storage(plan) as storage:
        study, _ = latest(storage, plan)
        trials = [] if study is None else study.get_trials()
    wanted: set[str] = set()
    for trial in trials:
        here.wrong["left open"] += ended and not trial.state.is_finished()
        if before is not None and trial.number in before.runs:  # nor may it have changed since
            here.runs[trial.number] = before.runs[trial.number]
            here.trials[trial.number] = _told(trial)
            wanted |= set(here.runs[trial.number])
        else:
            wanted |= set(_account_of(trial, plan, ladder, store, here))
    here.wrong["recorded, but of no trial"] = len(here.recorded - wanted)
    if before is not None:
        here.wrong["records lost"] = len(before.recorded - here.recorded)
        for number, known in before.trials.items():
            now = here.trials.get(number)
            here.wrong["trials lost"] += now is None
            changed = now is not None and any(now.get(name) != known[name] for name in known)
            here.wrong["trials changed"] += changed
    here.wrong = +here.wrong
    return here


def _account_of(
    trial: FrozenTrial, plan: DiscoverPlan, ladder: Ladder, store: RunStore, here: Account
) -> Iterator[str]:
    """The keys of the runs that a trial asks for; what is wrong with it goes to the account."""
    one = individual_of(trial)
    if one is None:
        here.wrong["trials without a candidate"] += 1
        return
    here.trials[trial.number] = _told(trial)
    fresh = individual_of(_without_result(trial))
    assert fresh is not None
    climb = Climb(fresh, ladder, plan.seed, 1.0, trial.user_attrs[BAR])
    result = trial.user_attrs.get(RESULT)
    rungs = [rung for rung in ladder.rungs[1:] if result is None or rung.name in result["scores"]]
    yield from _climbed(climb, rungs, store)
    if result is None:
        here.wrong["ended without a result"] += trial.state.is_finished()
        return
    own = result_of(climb.individual, climb.runs)
    names = [name for name in own if name not in _UNFOLLOWED]
    here.wrong["not as its records say"] += any(own[name] != result[name] for name in names)
    if trial.state.is_finished():
        here.runs[trial.number] = tuple(result["runs"])
        values = values_of(one, ladder.names)
        here.wrong["values of others"] += (trial.values or None) != values


def _told(trial: FrozenTrial) -> dict[str, Any]:
    """What a trial says that must not change: all, but for its time, once it has ended."""
    about = {name: trial.user_attrs[name] for name in (FORMULA, ARM, OPERATION, PARENTS)}
    if trial.state.is_finished():
        about |= {n: v for n, v in trial.user_attrs[RESULT].items() if n != "seconds"}
    return about


def _climbed(climb: Climb, rungs: Iterable[Rung], store: RunStore) -> Iterator[str]:
    """Let a candidate climb these rungs as far as records go; the keys of its runs."""
    above = iter(rungs)
    while True:
        if climb.rung is None:
            climb.rung = next(above, None)
            if climb.rung is None:
                return
        key = climb.config.run_key()
        record = store.get(key)
        if record is not None:
            yield key
            climb.take(record)
        elif climb.searched:
            climb.rung = None  # it passed this rung over, or has not come to it
        else:
            return


def _without_result(trial: FrozenTrial) -> FrozenTrial:
    fresh = copy.copy(trial)
    fresh.user_attrs = {name: v for name, v in trial.user_attrs.items() if name != RESULT}
    return fresh
