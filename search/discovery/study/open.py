"""Opening the study of a discovery: making it, or going on with it after whatever ended it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import ValidationError

from attenergy.registry import AttenergyError, PluginNeed, needed
from attenergy.search.discovery.formulas.grammar import called_in, function_uses
from attenergy.search.discovery.ladder.rungs import Ladder
from attenergy.search.discovery.plan import DiscoverPlan
from attenergy.search.discovery.population.individual import Individual
from attenergy.search.discovery.study.attributes import (
    BAR,
    RESULT,
    SCREENED,
    Proposed,
    Rejections,
    attributes_of,
    individual_of,
    result_of,
    values_of,
)
from attenergy.search.planning.plan import COMPARE_PLAN
from attenergy.search.runs.errors import StudyExists, StudyMismatch
from attenergy.search.runs.events import Listener
from attenergy.search.runs.plugin_needs import (
    ATTRIBUTE,
    MissingPlugin,
    for_storage,
    in_storage,
    refuse_missing,
    write_needs,
)
from attenergy.search.runs.records import RunStore, first_problem, weights_path
from attenergy.search.storage.database import (
    FORMAT,
    READY,
    create,
    latest,
    open_storage,
    problems_with,
    url_of,
)
from attenergy.search.storage.optuna_private import study_id, trial_id
from attenergy.search.storage.retry import RetryOnOutage, retrying
from attenergy.search.storage.study_lock import study_lock

#: User attributes of the study: what makes its trials comparable, and that it is a discovery.
_IDENTITY, _KIND, _SECONDS = "identity", "discovery", "seconds"
_OWN = {"tasks", "seed", "seed_energies", "without", "control"}  # of a plan
_PARTS = {"class_", "options", "model", "training"}  # of a task, that decide scores
#: Progress on the ladder, cost, length.
_DIRECTIONS = (StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE, StudyDirection.MINIMIZE)


class DiscoveryStudy:
    """The study of a discovery, which this driver has alone.

    A trial is made with all its attributes at once, so it is either known whole or not there. A
    record is on the disk before anything is told of it.

    Args:
        study: of Optuna.
        storage: where it is.
        store: the records beside it.
        retry: does what a storage that was away has not done.
        rungs: names, the cheapest first.

    Attributes:
        rejections: what was rejected before the trials, all together.
        screened: milliseconds that the filters took for what passed them.
        bars: number -> score of the rivals of an individual when it was proposed.
    """

    def __init__(
        self,
        study: optuna.Study,
        storage: RDBStorage,
        store: RunStore,
        retry: RetryOnOutage,
        rungs: tuple[str, ...],
    ) -> None:
        self.store, self.retry, self.rejections = store, retry, Rejections()
        self.screened, self.bars = 0.0, dict[int, float | None]()
        self._study, self._storage, self._rungs = study, storage, rungs
        self._keys: list[int] = []  # of the trials in the storage
        self._individuals: dict[int, Individual] = {}
        for trial in study.get_trials(deepcopy=False):
            self._learn(trial)
        self._need_functions(self.population)

    @property
    def population(self) -> list[Individual]:
        """Every individual, in the order of their numbers."""
        return list(self._individuals.values())

    @property
    def next_number(self) -> int:
        """The number of the next trial."""
        return len(self._keys)

    @property
    def seconds(self) -> float:
        """Of all sessions that came to their ends."""
        seconds = self._study.user_attrs.get(_SECONDS)
        return float(seconds) if isinstance(seconds, (int, float)) else 0.0

    @retrying
    def spend(self, seconds: float) -> None:
        """Add the seconds of a session."""
        self._study.set_user_attr(_SECONDS, self.seconds + seconds)

    def update(self, one: Individual) -> None:
        """Take in what is known of an individual by now."""
        self._individuals[one.number] = one

    @retrying
    def add(self, proposed: Proposed) -> Individual:
        """Make the trial of a candidate, and return it with its number."""
        if self.retry.interrupted:  # it may be there, and only the answer was lost
            for trial in self._study.get_trials(deepcopy=False)[len(self._keys) :]:
                if (one := self._learn(trial)) is not None:
                    return one
        self._need_functions([proposed.individual])  # first: a kill must not part them
        about = attributes_of(proposed)
        template = create_trial(state=TrialState.RUNNING, user_attrs=about)
        key = self._storage.create_new_trial(study_id(self._study), template_trial=template)
        added = self._learn(self._storage.get_trial(key))
        assert added is not None
        return added

    @retrying
    def end(self, one: Individual, runs: tuple[str, ...]) -> None:
        """Tell the study what came of a candidate.

        Args:
            one: that has ended.
            runs: keys of its runs.
        """
        key = self._keys[one.number]
        if not self._storage.get_trial(key).state.is_finished():
            self._storage.set_trial_user_attr(key, RESULT, result_of(one, runs))
            values = values_of(one, self._rungs)
            state = TrialState.FAIL if values is None else TrialState.COMPLETE
            self._study.tell(one.number, values, state=state)
        self.update(one)

    def _learn(self, trial: FrozenTrial) -> Individual | None:
        """Take in a trial; one that is no candidate's is ended."""
        self._keys.append(trial_id(trial))
        one = self._read(trial)
        if one is not None:
            self.update(one)
            self.rejections.extend(Rejections.of(trial.user_attrs))
            self.screened += trial.user_attrs[SCREENED]
            self.bars[one.number] = trial.user_attrs[BAR]
        elif not trial.state.is_finished():
            self._storage.set_trial_state_values(trial_id(trial), TrialState.FAIL)
        return one

    def _need_functions(self, individuals: Iterable[Individual]) -> None:
        """Write down the plug-ins whose functions are called."""
        called = {name for one in individuals for name in called_in(one.candidate.tree)}
        write_needs(self.store.folder, needed(function_uses(sorted(called))))

    def _read(self, trial: FrozenTrial) -> Individual | None:
        try:
            one = individual_of(trial)
        except ValidationError as error:
            problem = first_problem(error)
        except AttenergyError as error:  # a function that is gone, or of a plug-in that is
            problem = str(error).splitlines()[0]
            if unknown := re.search(r"unknown function '\w+'", problem):
                raise MissingPlugin(
                    f"{_shown(self._study)} cannot be resumed: its trial {trial.number} cannot be "
                    f"read ({unknown[0]}). If a plug-in registers that, name its "
                    "module with --plugin"
                ) from error
        else:
            other = [] if one is None else [name for name in one.scores if name not in self._rungs]
            if not other:
                return one
            problem = f"there is no rung {other[0]!r}"
        text = f"its trial {trial.number} cannot be read ({problem})"
        raise StudyMismatch(self._study.study_name, [text])


@contextmanager
def open_discovery(
    plan: DiscoverPlan,
    ladder: Ladder,
    listener: Listener,
    *,
    resume: bool,
    needs: Sequence[PluginNeed] = (),
) -> Iterator[DiscoveryStudy]:
    """Open the study of a plan alone, and leave it in order at the end.

    Args:
        plan: of the discovery.
        ladder: its rungs.
        listener: is told what happens.
        resume: go on with an existing study.
        needs: plug-ins without which it would go on otherwise.

    Raises:
        MissingPlugin: a plug-in that it needs is not loaded.
        StudyExists: it exists and `resume` is False.
        StudyMismatch: it fits another plan, or is no discovery.
        StudyBusy: another process is at work on it.
        StorageProblem: the storage cannot be reached, read or written.
    """
    folder, url = Path(plan.folder), url_of(plan)
    if any((folder / name).exists() for name in (COMPARE_PLAN, "plan.json")):
        raise StudyMismatch(plan.study, ["it is no discovery"])
    with problems_with(url), study_lock(folder, url, plan.study, join=False) as lock:
        lock.acquire()
        with open_storage(plan) as storage:
            store = RunStore(folder)
            study, _ = latest(storage, plan)
            if study is not None:
                refuse_missing(_shown(study), in_storage(study.user_attrs))
            known = 0 if study is None else len(study.get_trials(deepcopy=False))
            if not resume and (study is not None or store.all()):
                raise StudyExists(plan.study, known or len(store.all()))
            identity = _identity(plan, ladder)
            if study is None:
                study = create(storage, plan.study, _DIRECTIONS)
                study.set_user_attr(_KIND, True)
                study.set_user_attr(_IDENTITY, identity)
                study.set_user_attr(READY, FORMAT)
            else:
                _refuse_other(study, identity)
            if needs:
                study.set_user_attr(ATTRIBUTE, for_storage(study.user_attrs, needs))
            remove_weights(store)
            retry = RetryOnOutage(storage, lock, listener)
            yield DiscoveryStudy(study, storage, store, retry, ladder.names)


def remove_weights(store: RunStore) -> None:
    """Remove weights that no record names: those of evolution are not kept."""
    folder = weights_path(store.folder, "").parent
    named = {record.weights for record in store.all()}
    for path in folder.glob("*.safetensors") if folder.is_dir() else ():
        if str(path.relative_to(store.folder)) not in named:
            path.unlink(missing_ok=True)


def _shown(study: optuna.Study) -> str:
    """How an error calls it."""
    return f"study {study.study_name.partition('@')[0]!r}"  # without the number of its generation


def _identity(plan: DiscoverPlan, ladder: Ladder) -> dict[str, Any]:
    # What must not change between the parts of a discovery, or its scores cannot be compared.
    identity = plan.model_dump(mode="json", include=_OWN)
    for rung in ladder.rungs:
        spec = rung.spec.model_dump(mode="json", include=_PARTS, exclude_defaults=True)
        for part, value in spec.items():
            fields = value.items() if isinstance(value, dict) else [("", value)]
            identity |= {f"{rung.name} {part} {name}".strip(): each for name, each in fields}
    return identity


def _refuse_other(study: optuna.Study, identity: dict[str, Any]) -> None:
    before = study.user_attrs.get(_IDENTITY)
    if not study.user_attrs.get(_KIND) or not isinstance(before, dict):
        raise StudyMismatch(study.study_name, ["it is no discovery"])
    names = [*before, *(name for name in identity if name not in before)]
    others = [name for name in names if before.get(name) != identity.get(name)]
    causes = [name for name in others if name in _OWN] or others  # the rest follows from these
    if causes:
        differences = [f"{n} was {before.get(n)!r}, is {identity.get(n)!r}" for n in causes]
        raise StudyMismatch(study.study_name, differences)
