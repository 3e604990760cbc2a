"""The trials of a study in brief: read in bulk once, and then only what has changed.

Optuna reads a trial whole, in about a millisecond, and keeps it. Of 100,000 trials a driver needs
little more than their state and the run that each stands for.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from sys import intern
from typing import Any

from optuna.distributions import json_to_distribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import Connection, Select, column, select, table

from attenergy.search.storage.database import UnreadableRows

_TRIALS = table("trials", column("trial_id"), column("study_id"), column("number"), column("state"))
_ATTRIBUTES = table(
    "trial_user_attributes", column("trial_id"), column("key"), column("value_json")
)
_PARAMETERS = table(
    "trial_params",
    column("trial_id"),
    column("param_name"),
    column("param_value"),
    column("distribution_json"),
)
_VALUES = table(
    "trial_values",
    column("trial_id"),
    column("objective"),
    column("value"),
    column("value_type"),
)
_AT_ONCE = 500  # ids in one question
_INFINITE = {"INF_POS": float("inf"), "INF_NEG": float("-inf")}


@dataclass(slots=True)
class TrialBrief:
    """What is known of a trial without reading it whole.

    Attributes:
        id: its key in the storage.
        number: its place in the study.
        state: finished ones never change.
        attributes: those of its user attributes that were asked for.
        parameter: the value of the parameter that was asked for; None if it has none.
        values: one per objective, of a complete trial.
    """

    id: int
    number: int
    state: TrialState
    attributes: dict[str, Any] = field(default_factory=dict)
    parameter: Any = None
    values: dict[int, float] = field(default_factory=dict)


class TrialIndex:
    """Every trial of a study in brief.

    Args:
        storage: where the study is.
        study: its id there.
        attributes: names of the user attributes that are read.
        parameter: name of the parameter that is read.

    Attributes:
        trials: by id, in the order in which they were made.
        unfinished: ids of those that may change.
    """

    def __init__(
        self, storage: RDBStorage, study: int, attributes: Sequence[str], parameter: str
    ) -> None:
        self.trials: dict[int, TrialBrief] = {}
        self.unfinished: set[int] = set()
        self._storage, self._study = storage, study
        self._attributes, self._parameter = tuple(attributes), parameter
        self._last = -1  # of the finished ones
        self._choices: dict[tuple[str, float], Any] = {}

    def refresh(self) -> list[TrialBrief]:
        """Read what has changed since the last time; return the trials that have finished since.

        Raises:
            UnreadableRows: a row is none that a search has written.
        """
        with self._storage.engine.connect() as connection, _readable():
            changed = {trial.id: trial for trial in self._changed(connection)}
            if changed:
                self._read_rest(connection, changed)
        finished = []
        for key, trial in changed.items():
            self.trials[key] = trial
            if not trial.state.is_finished():
                self.unfinished.add(key)
                continue
            self._last = max(self._last, key)
            self.unfinished.discard(key)
            finished.append(trial)
        return finished

    def still_open(self) -> list[TrialBrief]:
        """Those that wait or run, in the order of their numbers."""
        return sorted((self.trials[key] for key in self.unfinished), key=lambda t: t.number)

    def _changed(self, connection: Connection) -> Iterator[TrialBrief]:
        trials = select(_TRIALS.c.trial_id, _TRIALS.c.number, _TRIALS.c.state)
        before = sorted(key for key in self.unfinished if key <= self._last)
        questions = [
            *(trials.where(_TRIALS.c.trial_id.in_(some)) for some in _parts(before)),
            trials.where(_TRIALS.c.study_id == self._study, _TRIALS.c.trial_id > self._last),
        ]
        for question in questions:
            for key, number, state in connection.execute(question.order_by(_TRIALS.c.trial_id)):
                yield TrialBrief(key, number, TrialState[getattr(state, "name", state)])

    def _read_rest(self, connection: Connection, changed: dict[int, TrialBrief]) -> None:
        for key, name, text in self._rows(
            connection,
            changed,
            select(_ATTRIBUTES.c.trial_id, _ATTRIBUTES.c.key, _ATTRIBUTES.c.value_json).where(
                _ATTRIBUTES.c.key.in_(self._attributes)
            ),
        ):
            changed[key].attributes[intern(name)] = json.loads(text)
        for key, value, form in self._rows(
            connection,
            changed,
            select(
                _PARAMETERS.c.trial_id, _PARAMETERS.c.param_value, _PARAMETERS.c.distribution_json
            ).where(_PARAMETERS.c.param_name == self._parameter),
        ):
            changed[key].parameter = self._choice(form, value)
        for key, objective, value, kind in self._rows(
            connection,
            changed,
            select(_VALUES.c.trial_id, _VALUES.c.objective, _VALUES.c.value, _VALUES.c.value_type),
        ):
            number = _INFINITE.get(getattr(kind, "name", kind), value)
            changed[key].values[objective] = float(number)

    def _rows(
        self, connection: Connection, changed: dict[int, TrialBrief], question: Select[Any]
    ) -> Iterator[Sequence[Any]]:
        """The rows of the changed trials, asked for by key or, where they are many, by range."""
        key = question.selected_columns[0]
        ids = sorted(changed)
        if len(ids) <= _AT_ONCE:
            yield from connection.execute(question.where(key.in_(ids)))
            return
        for row in connection.execute(question.where(key.between(ids[0], ids[-1]))):
            if row[0] in changed:
                yield row

    def _choice(self, form: str, value: float) -> Any:
        known = (form, value)
        if known not in self._choices:
            self._choices[known] = json_to_distribution(form).to_external_repr(value)
        return self._choices[known]


def attribute_values(
    storage: RDBStorage, study: int, name: str, keys: Collection[int] | None = None
) -> dict[int, Any]:
    """The trials of a study that have a user attribute, and its values.

    Args:
        storage: where the study is.
        study: its id there.
        name: of the attribute.
        keys: of the trials whose values are read, the others stay None; None for all.

    Raises:
        UnreadableRows: a value is none that a search has written.
    """
    own = (
        select(_ATTRIBUTES.c.trial_id)
        .join(_TRIALS, _TRIALS.c.trial_id == _ATTRIBUTES.c.trial_id)
        .where(_TRIALS.c.study_id == study, _ATTRIBUTES.c.key == name)
        .order_by(_ATTRIBUTES.c.trial_id)
    )
    with storage.engine.connect() as connection, _readable():
        if keys is None:
            rows = connection.execute(own.add_columns(_ATTRIBUTES.c.value_json))
            return {key: json.loads(text) for key, text in rows}
        values = dict.fromkeys(key for (key,) in connection.execute(own))
        for some in _parts(sorted(keys)):
            chosen = own.add_columns(_ATTRIBUTES.c.value_json)
            for key, text in connection.execute(chosen.where(_ATTRIBUTES.c.trial_id.in_(some))):
                values[key] = json.loads(text)
    return values


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (LookupError, TypeError, ValueError) as error:
        raise UnreadableRows(str(error)) from error


def _parts(ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]
