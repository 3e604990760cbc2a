"""Proposals that would cost more than a search allows: ended untrained, and the sampler learns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from statistics import median
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from attenergy.registry import ArgumentError
from attenergy.search.planning.cost_limits import CostLimits
from attenergy.search.planning.space import Space
from attenergy.search.results import formats
from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.events import ForwardingListener, Listener
from attenergy.search.runs.records import RunStore
from attenergy.search.storage.optuna_private import set_constraints
from attenergy.search.study.attributes import BEYOND, DEFAULT, REASON, RUN, is_untrained
from attenergy.search.study.context import SearchContext

#: Proposals in a row that are beyond the limits, from which on every second is drawn at random.
RANDOM_AFTER = 5
#: The same, of one variant that is to have more trials: it is given no more in this session.
NO_MORE_OF_VARIANT = 20
#: The same, of all: the trials end.
MOST_IN_A_ROW = 200
#: Times the limit on milliseconds from which on a run that is measured at an evaluation is ended.
CLEARLY = 1.5
_MOST_NAMES = 8  # in a message


class NothingFeasible(ArgumentError):
    """No proposal of a search is within its limits of cost."""

    topic = "limit"


def refuse(
    study: optuna.Study, trial: optuna.Trial, cost: Mapping[str, float], context: SearchContext
) -> None:
    """End a running trial untrained, because of what is known of its cost."""
    limits = context.space.cost_limits
    beyond = limits.beyond(cost)
    trial.set_user_attr(BEYOND, beyond)
    trial.set_user_attr(REASON, f"beyond the limits: {limits.why(beyond)}")
    set_constraints(context.storage, trial, limits.constraints(cost))
    # Samplers read nothing of failed trials.
    study.tell(trial.number, state=TrialState.PRUNED)


def may_be_trained(attributes: Mapping[str, Any], baseline: str) -> bool:
    """Whether a trial is trained in any case: the baseline with its defaults, as the reference."""
    return attributes.get(DEFAULT) == baseline


def cost_of(trial: FrozenTrial, space: Space, store: RunStore) -> dict[str, float] | None:
    """What a finished trial of an earlier generation cost, or would have, by the present limits.

    Args:
        trial: as it was carried here.
        space: with the limits.
        store: of the runs.

    Returns:
        Costs by their names in a record; None if it was not trained for them, and they are not
        known to be beyond these limits.
    """
    if not is_untrained(trial.user_attrs):
        record = store.get(trial.user_attrs.get(RUN, ""))
        return record.cost if record is not None else {}
    try:
        cost = space.cost_before(space.suggest(optuna.trial.FixedTrial(trial.params)))
    except ValueError:  # the space asks for more now, or for other values
        return None
    return cost if space.cost_limits.beyond(cost) else None


def beyond_by_default(space: Space) -> dict[str, dict[str, float]]:
    """The variants that are beyond the limits with their defaults, and by which costs."""
    limits = space.cost_limits
    if not limits.before:
        return {}
    known = {c.variant: limits.beyond(space.cost_before(c)) for c in space.each()}
    return {variant: beyond for variant, beyond in known.items() if beyond}


def say_beforehand(space: Space, baseline: str) -> list[str]:
    """How many variants are within the limits with their defaults, and whether the baseline is."""
    limits = space.cost_limits
    if not limits.before:
        return []
    beyond = beyond_by_default(space)
    number = len(space.variants)
    texts = [
        f"{number - len(beyond)} of {formats.counted(number, 'variant')} are within the limits "
        f"({limits.text(limits.before)}) with their defaults"
    ]
    others = [name for name in beyond if name != baseline]
    if others:
        more = f" and {len(others) - _MOST_NAMES} more" if len(others) > _MOST_NAMES else ""
        texts[0] += f"; beyond: {', '.join(others[:_MOST_NAMES])}{more}"
    if baseline in beyond:
        texts.append(
            f"the baseline {baseline} is beyond the limits ({limits.why(beyond[baseline])}): with "
            "its defaults it is trained all the same, as the reference"
        )
    return texts


def scored(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The same with a score for those that were not trained for their cost: the median of all.

    A Gaussian process takes in nothing else, and the constraint says what there is to learn. While
    there are no scores, they stay as they are.
    """
    values = [trial.values for trial in trials if trial.state == TrialState.COMPLETE]
    middle = [median(column) for column in zip(*values, strict=True)]
    return [
        _with_values(trial, middle) if middle and is_untrained(trial.user_attrs) else trial
        for trial in trials
    ]


def _with_values(trial: FrozenTrial, values: list[float]) -> FrozenTrial:
    shown = copy(trial)
    shown.state, shown.values = TrialState.COMPLETE, values
    return shown


class SlowRunListener(ForwardingListener):
    """Passes all events on, and ends runs whose steps are clearly slower than a limit allows.

    Args:
        inner: hears everything.
        limits: of cost.
        stop: called with the key of a run that is to end, and the reason.
        protected: tells whether the run of a key goes to its end in any case.
    """

    def __init__(
        self,
        inner: Listener,
        limits: CostLimits,
        stop: Callable[[str, str], None],
        protected: Callable[[str], bool],
    ) -> None:
        super().__init__(inner)
        self._limits, self._stop, self._protected = limits, stop, protected
        self._most = CLEARLY * limits.most.get("ms_per_step", math.inf)

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        """Compare the mean time of its steps until now, the first ones included."""
        super().evaluated(key, point)
        pace = point.get("ms_per_step", 0.0)
        if pace > self._most and not self._protected(key):
            self._stop(key, f"beyond the limits: {self._limits.why({'ms_per_step': pace})}")


def end_without_feasible(
    records: Sequence[RunRecord], context: SearchContext, nearest: Mapping[str, float]
) -> str:
    """What to say when the trials end because nothing within the limits is proposed any more.

    Args:
        records: of the trials.
        context: of the search.
        nearest: costs of the proposal that was nearest to the limits.

    Raises:
        NothingFeasible: no trial with a score is within the limits.
    """
    limits = context.space.cost_limits
    text = (
        f"none of the last {MOST_IN_A_ROW} proposals was within the limits ({limits.text()}); the "
        f"nearest had {limits.why(limits.beyond(nearest))}"
    )
    if not any(r.status == "complete" and not limits.beyond(r.cost) for r in records):
        raise NothingFeasible(
            f"{text}. Loosen --limit, or search smaller sizes (--space, --energies)"
        )
    return f"the trials end after {len(records)}: {text}"
