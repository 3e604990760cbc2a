"""What earlier studies know: their best configurations are tried first, and shape the proposals.

A configuration is tried here like any other, so its score is one of this study. The scores of the
earlier study are never mixed with those of this one: of them, a sampler is shown the order alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, ConfigDict, Field

from attenergy.registry import Scalar, SearchSpaceError
from attenergy.search.planning import ranges
from attenergy.search.planning.space import Space
from attenergy.search.results import formats
from attenergy.search.results.ranking import Row, columns_of, rank
from attenergy.search.results.study_folder import find_study, read_study
from attenergy.search.runs.config import RunConfig
from attenergy.search.study.context import SearchContext
from attenergy.search.study.recording import parameters_of

#: Configurations of earlier studies that are tried first, of all together; of no more than a
#: quarter of the trials.
MOST_TRIED = 5
#: Configurations whose order a sampler is shown, of all studies together; one less for every trial
#: of this study that has a score.
MOST_SHOWN = 50
_ATTRIBUTE = "earlier:"  # user attributes of the study that begin so, one for each earlier one
_REASONS = 3  # in a message


class EarlierTrial(BaseModel):
    """A configuration of an earlier study that fits the space of this one.

    Attributes:
        params: as a trial of this study has them.
        hash: of the configuration in this study.
        place: by its validation score among those of its study, from 0, the worst, to 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    params: dict[str, Scalar]
    hash: str
    place: float


class EarlierStudy(BaseModel):
    """What is taken from one earlier study, in the order in which it would be tried."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: str
    trials: tuple[EarlierTrial, ...] = Field(default=())


def take_earlier(
    study: optuna.Study, context: SearchContext, read: Sequence[tuple[EarlierStudy, str]] = ()
) -> None:
    """Keep in the study what the plan's earlier studies know, of those that it has not yet.

    From then on they are not needed any more.

    Args:
        study: that keeps it.
        context: of the search.
        read: what was read already, by `read_all_earlier`.

    Raises:
        ValueError: one of them cannot be found or read.
    """
    known = known_earlier(study)
    for earlier, text in read or read_all_earlier(context, {each.study for each in known}):
        study.set_user_attr(f"{_ATTRIBUTE}{len(known)}", earlier.model_dump(mode="json"))
        known.append(earlier)
        context.listener.message(text)


def read_all_earlier(
    context: SearchContext, known: Collection[str] = ()
) -> list[tuple[EarlierStudy, str]]:
    """The plan's earlier studies but for those of known names, and a sentence on each.

    Raises:
        ValueError: one of them cannot be found or read.
    """
    plan = context.plan
    names = [name for name in dict.fromkeys(plan.earlier) if name not in known]
    return [read_earlier(name, context.space, Path(plan.folder)) for name in names]


def known_earlier(study: optuna.Study) -> list[EarlierStudy]:
    """What a study has kept of earlier ones, in the order in which they were named."""
    kept = earlier_attributes(study)
    names = sorted(kept, key=lambda name: int(name.removeprefix(_ATTRIBUTE)))
    return [EarlierStudy.model_validate(kept[name]) for name in names]


def earlier_attributes(study: optuna.Study) -> dict[str, Any]:
    """The user attributes of a study that hold it."""
    return {n: value for n, value in study.user_attrs.items() if n.startswith(_ATTRIBUTE)}


def read_earlier(name: str, space: Space, folder: Path) -> tuple[EarlierStudy, str]:
    """What fits the space, of the study `name`, and a sentence on it.

    Args:
        name: of a study beside this one, or a path.
        space: of this study.
        folder: of this study.

    Raises:
        ValueError: there is no such study, or it cannot be read.
    """
    path = find_study(name, folder.parent)
    if path.resolve() == folder.resolve():
        raise SearchSpaceError(f"{name!r} is this study itself; to go on with it give --resume")
    study = read_study(path)
    task = study.task
    rows = rank(study.records, task.metric, columns_of(task), study.baseline)
    rows = tuple(row for row in rows if "valid" in row.scores)
    configs = {record.key: record.config for record in study.records}
    fits: dict[str, tuple[Row, EarlierTrial]] = {}
    misfits: Counter[str] = Counter()
    for row in rows:
        try:
            params, config = as_proposal(configs[row.keys[0]], space)
        except Misfit as error:
            misfits[str(error)] += 1
            continue
        name_here = config.config_hash()
        fits.setdefault(name_here, (row, EarlierTrial(params=params, hash=name_here, place=0.0)))
    trials = _placed(list(fits.values()))
    spec = study.records[0].config.task_spec
    same = spec.class_ == space.task.class_ and spec.options == space.task.options
    about = "the same task" if same else f"another task, {study.records[0].config.task}"
    text = f"from {name} ({about}): {len(trials)} of {formats.counted(len(rows), 'configuration')} "
    text += "with a score fit this space"
    if misfits:
        reasons = [f"{n}: {reason}" for reason, n in misfits.most_common(_REASONS)]
        text += f" (not {'; '.join(reasons)}{'; ...' if len(misfits) > _REASONS else ''})"
    return EarlierStudy(study=name, trials=_thinned(trials, MOST_SHOWN)), text


class Misfit(ValueError):
    """A configuration of an earlier study has no place in this one."""


def as_proposal(config: RunConfig, space: Space) -> tuple[dict[str, Scalar], RunConfig]:
    """The parameters of a trial that repeats a configuration, and its run here.

    What this space does not vary stays as it is here: sizes that are fixed, the length of training.

    Raises:
        Misfit: the variant is not here or defined otherwise, a value that is varied here is not
            offered, or the run would be beyond the limits of cost.
    """
    variant, forms = config.variant, space.distributions()
    if not space.takes(config):
        raise Misfit(f"{variant} does not take part")
    if not space.defines(config):
        raise Misfit(f"{variant} is defined otherwise")
    own = {n: v for n, v in parameters_of(config).items() if n in forms and v is not None}
    wrong = {n for n, v in own.items() if not ranges.offers(forms[n], v)}
    values = {**(space.defaults(variant) if variant in space.variants else {}), **own}
    values = {n: v for n, v in values.items() if n in forms and n not in wrong}
    trial = optuna.trial.FixedTrial(values)
    try:
        here = space.suggest(trial)
    except ValueError as error:
        lost = next((n for n in forms if n in wrong), "")
        if not lost:
            raise Misfit("a quantity is not named") from error
        value = formats.settings({"": own[lost]})[1:40]  # somebody else's text may be long
        raise Misfit(f"{lost} = {value} is not offered") from error
    if here.variant != variant:
        raise Misfit(f"{variant} does not take part")
    limits = space.cost_limits
    if beyond := limits.beyond(space.cost_before(here)):
        raise Misfit(f"beyond the limits of {', '.join(beyond)}")
    return dict(trial.params), here


def _placed(fits: Sequence[tuple[Row, EarlierTrial]]) -> tuple[EarlierTrial, ...]:
    """With their places, which go by score alone; finalists, whose scores are means, come first."""
    scores = sorted(row.scores["valid"].mean for row, _ in fits)
    last = max(1, len(scores) - 1)
    return tuple(
        trial.model_copy(update={"place": scores.index(row.scores["valid"].mean) / last})
        for row, trial in fits
    )


def _thinned(trials: Sequence[EarlierTrial], most: int) -> tuple[EarlierTrial, ...]:
    """At most so many: the first, which are to be tried, and of the rest evenly by their places."""
    if len(trials) <= most:
        return tuple(trials)
    first = min(MOST_TRIED, most)
    rest = sorted(trials[first:], key=lambda trial: -trial.place)
    steps = np.linspace(0, len(rest) - 1, most - first).round().astype(int)
    return (*trials[:first], *(rest[step] for step in steps))


def first_tried(
    earlier: Sequence[EarlierStudy],
    trials: int | None,
    defaults: Iterable[Mapping[str, Any]] = (),
) -> list[EarlierTrial]:
    """The configurations that are tried first: of each study in turn its next best.

    Args:
        earlier: the studies.
        trials: of the search, in all; None where its time decides.
        defaults: parameters of the variants' own values, which are tried in any case.
    """
    longest = max((len(study.trials) for study in earlier), default=0)
    turns = [study.trials[n] for n in range(longest) for study in earlier if n < len(study.trials)]
    given = list(defaults)
    turns = [trial for trial in turns if not any(_is_part(trial.params, each) for each in given)]
    each = {trial.hash: trial for trial in reversed(turns)}
    order = list(dict.fromkeys(trial.hash for trial in turns))
    most = MOST_TRIED if trials is None else min(MOST_TRIED, trials // 4)
    return [each[name] for name in order[:most]]


class EarlierTrials:
    """Shows a sampler the configurations of earlier studies, as trials before the first.

    The value of one is the quantile at its place of this study's own scores; while there are none,
    the place itself. So it says nothing but the order. With every score of this study one of them
    fewer is shown, until none is left.

    Args:
        earlier: the studies.
        space: of this study; what it does not offer any more is left out.
        directions: of this study; with several objectives nothing is shown.
    """

    def __init__(
        self,
        earlier: Iterable[EarlierStudy],
        space: Space,
        directions: Sequence[StudyDirection],
    ) -> None:
        forms = space.distributions()
        every = [t for study in earlier for t in study.trials] if len(directions) == 1 else []
        fitting = [t for t in every if _offered(t.params, forms)]
        self._sign = -1.0 if StudyDirection.MINIMIZE in directions else 1.0
        self._forms, self._trials = forms, _thinned(fitting, MOST_SHOWN)

    def before(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """What is shown, given the trials of this study that are shown."""
        scores = [
            self._sign * trial.values[0]
            for trial in trials
            if trial.state == TrialState.COMPLETE
            and max(trial.constraints.values(), default=0) <= 0
        ]
        chosen = _thinned(self._trials, max(0, MOST_SHOWN - len(scores)))
        shown = []
        for number, earlier in enumerate(chosen, start=-len(chosen)):
            score = float(np.quantile(scores, earlier.place)) if scores else earlier.place
            trial = optuna.trial.create_trial(
                value=self._sign * score,
                params=dict(earlier.params),
                distributions={name: self._forms[name] for name in earlier.params},
            )
            trial.number = number
            shown.append(trial)
        return shown


def _is_part(params: Mapping[str, Scalar], values: Mapping[str, Any]) -> bool:
    return params.items() <= values.items()


def _offered(params: Mapping[str, Scalar], forms: Mapping[str, Any]) -> bool:
    return all(name in forms and ranges.offers(forms[name], v) for name, v in params.items())
