"""Tuning of what a formula leaves open, on the cheapest rung: parameters, constants, step size."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping

import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import Trial

from attenergy.energies.language import Call, Expr, Number
from attenergy.energies.parameters import constant
from attenergy.registry import ArgumentError, AttenergyError, Range, Scalar
from attenergy.search.discovery.formulas.candidate import Candidate, numbers_of
from attenergy.search.discovery.ladder.rungs import Rung, number_name, with_settings
from attenergy.search.planning.ranges import matters

#: Tries of a formula with k quantities: `_FIRST` + `_EACH` k, and no more than `_MOST`.
_FIRST, _EACH, _MOST = 5, 3, 14
#: The first tries: its own settings, then with the first parameter so many times as large.
_TIMES = (1.0, 4.0, 2.0, 8.0, 16.0)
#: Then so many at the top of a parabola through the best three of them.
_TOPS = 2
#: After the first tries a formula that is further behind its rivals is given up.
_BEHIND = 0.4
#: A number may become so many times smaller or larger.
_FACTOR = 4.0
#: Tries after the first ones are so many times smaller or larger than the best one, at most.
_NEAR = 1.5
#: Draws that the formula cannot take, or that were tried, before the tries are over.
_REFUSED = 8
#: Scores below count as this one: the model of the scores is to tell good settings apart.
_FLOOR = -2.0
_DIGITS = 3

Accepts = Callable[[Candidate], bool]


def _all(candidate: Candidate) -> bool:
    return True


class SettingsSearch:
    """Settings of a candidate that score best on a rung, proposed one after the other.

    The first ones are the candidate's own, then four that differ in its first parameter, which
    decides how sharply it tells patterns apart, then two at the top of a parabola in its logarithm
    through the best of them and its neighbours. The others come from Optuna's TPE, seeded by the
    candidate and `seed`, in a study of its own in memory: the same scores bring the same
    proposals, so a search that is broken off asks for the same runs again and finds them recorded.
    What is tuned: initial values of parameters in their ranges, the step size where it matters, and
    every constant and exponent by a factor between 1/4 and 4.

    Args:
        candidate: the formula.
        rung: where it is to score; cheap, since it takes up to 14 runs.
        seed: of the proposals.
        bar: score of rivals; a candidate far behind it after 5 tries is given up. None without any.
        accepts: whether a candidate with other numbers may be tried, as its laws may be broken.

    Example:
        >>> from attenergy.search.discovery.formulas import Candidate
        >>> energy = Candidate.from_formula("0.5*|xi|^2 - lse(beta*X @ xi)/beta")
        >>> from attenergy.search.discovery.ladder.rungs import Ladder
        >>> ladder = Ladder.of(["raven-small"], attenergy.load_registry(plugins=False))
        >>> search = SettingsSearch(energy, ladder.rungs[0], seed=0)
        >>> search.ask()
        {}
        >>> search.tell({}, 0.3)
        >>> sorted(search.ask())
        ['beta']
    """

    def __init__(
        self,
        candidate: Candidate,
        rung: Rung,
        seed: int,
        *,
        bar: float | None = None,
        accepts: Accepts = _all,
    ) -> None:
        self._candidate, self._bar, self._accepts = candidate, bar, accepts
        model = rung.spec.model
        self._ranges, self._own = _quantities(
            candidate, model.head_dim or model.width // model.heads
        )
        self.tries = min(_MOST, _FIRST + _EACH * len(self._ranges)) if self._ranges else 1
        text = f"{candidate.key} {rung.name} {seed}"
        sampler = optuna.samplers.TPESampler(
            seed=int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big"),
            n_startup_trials=len(_TIMES),
        )
        self._study = _quiet_study(sampler)
        for first in _first(candidate, self._ranges, self._own):
            self._study.enqueue_trial(first)
        self._scores: list[tuple[Mapping[str, Scalar], float]] = []
        self._waiting: tuple[Trial, Mapping[str, Scalar]] | None = None

    def ask(self) -> Mapping[str, Scalar] | None:
        """The settings that are to be tried next; None if there are none.

        The same ones until their score is told.
        """
        if self._waiting is None:
            self._waiting = self._next()
        return None if self._waiting is None else self._waiting[1]

    def tell(self, settings: Mapping[str, Scalar], score: float) -> None:
        """Say what the settings that were asked for have scored.

        Args:
            settings: those of the last `ask`.
            score: of the rung; minus infinity if there was none.

        Raises:
            ArgumentError: these are others.
        """
        if self._waiting is None or dict(settings) != dict(self._waiting[1]):
            raise ArgumentError(f"a score of settings that are not tried now: {dict(settings)}")
        trial, _ = self._waiting
        self._waiting = None
        self._scores.append((settings, score))
        self._study.tell(trial, max(score, _FLOOR))

    @property
    def best(self) -> Mapping[str, Scalar]:
        """The settings with the highest score, the earlier ones of equals; {} without a score."""
        return max(self._scores, key=lambda pair: pair[1], default=({}, -math.inf))[0]

    @property
    def best_score(self) -> float:
        """The highest score; minus infinity without one."""
        return max((score for _, score in self._scores), default=-math.inf)

    def _next(self) -> tuple[Trial, Mapping[str, Scalar]] | None:
        count = len(self._scores)
        behind = self._bar is not None and self.best_score < self._bar - _BEHIND
        if count >= self.tries or (count >= _FIRST and behind):
            return None
        top = self._top() if _FIRST <= count < _FIRST + _TOPS else None
        if top is not None:
            self._study.enqueue_trial(top)
        for attempt in range(_REFUSED):
            anywhere = count < _FIRST or (top is not None and attempt == 0)
            trial = self._study.ask({**(self._ranges if anywhere else self._near_best())})
            settings = self._settings(trial.params)
            scores = [score for tried, score in self._scores if tried == settings]
            if not scores and self._possible(settings):
                return trial, settings
            self._study.tell(trial, max([*scores, _FLOOR]))
        return None

    def _top(self) -> dict[str, float] | None:
        """Its own values, with the first parameter where a parabola through the scores is highest.

        None where the best score lies at an end of what was tried.
        """
        if not self._candidate.parameters:
            return None
        name = self._candidate.parameters[0]
        others = self._own.items() - {(name, self._own[name])}
        scores = {
            trial.params[name]: trial.value
            for trial in self._study.trials
            if trial.value is not None and others <= trial.params.items()
        }
        value = _vertex(scores)
        return None if value is None else {**self._own, name: value}

    def _near_best(self) -> dict[str, FloatDistribution]:
        """The ranges around the best try, where the later ones are drawn."""
        best = self._study.best_params
        return {
            name: FloatDistribution(
                max(span.low, best[name] / _NEAR), min(span.high, best[name] * _NEAR), log=span.log
            )
            for name, span in self._ranges.items()
        }

    def _settings(self, values: Mapping[str, float]) -> dict[str, Scalar]:
        """What was drawn, rounded as a person would write it; numbers from their factors."""
        if values == self._own:
            return {}
        numbers = {number_name(i): n for i, n in enumerate(self._candidate.numbers)}
        return {
            name: float(f"{value * numbers.get(name, 1.0):.{_DIGITS}g}")
            for name, value in values.items()
        }

    def _possible(self, settings: Mapping[str, Scalar]) -> bool:
        try:
            tuned, _ = with_settings(self._candidate, settings)
        except AttenergyError:  # a function cannot take one of the numbers
            return False
        return tuned == self._candidate or self._accepts(tuned)


def _quiet_study(sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    """A study in memory; Optuna's log would tell of every one."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return optuna.create_study(direction="maximize", sampler=sampler)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _quantities(
    candidate: Candidate, width: int
) -> tuple[dict[str, FloatDistribution], dict[str, float]]:
    """What may be varied, how far, and its own value; numbers by a factor.

    A layer that takes one step and reads its weights never uses the moved state. So neither the
    step size nor a number in a term without patterns matters.
    """
    entry = candidate.entry(title="")
    moves = matters(entry, "step_size", {})
    spans: dict[str, FloatDistribution] = {}
    own: dict[str, float] = {}
    for name, parameter in entry.parameters.items():
        if (span := parameter.search) is not None:
            spans[name] = _float(span)
            own[name] = constant(parameter.init, width)
    if moves and (span := entry.step_size.search) is not None:
        spans["step_size"], own["step_size"] = _float(span), float(entry.step_size.default)
    acting = _acting(candidate.tree, moves=moves)
    for place, (number, acts) in enumerate(zip(candidate.numbers, acting, strict=True)):
        if number and acts:
            spans[number_name(place)] = FloatDistribution(1 / _FACTOR, _FACTOR, log=True)
            own[number_name(place)] = 1.0
    return spans, own


def _first(
    candidate: Candidate, spans: Mapping[str, FloatDistribution], own: Mapping[str, float]
) -> list[dict[str, float]]:
    """The first tries: its own values, then other values of the first parameter."""
    if not candidate.parameters:
        return [dict(own)]
    name = candidate.parameters[0]
    span = spans[name]
    values = (min(max(times * own[name], span.low), span.high) for times in _TIMES)
    return [{**own, name: value} for value in dict.fromkeys(values)]


def _vertex(scores: Mapping[float, float]) -> float | None:
    """Where the parabola in log x through the highest score and its two neighbours is highest.

    None if the highest is the first or the last.
    """
    values = sorted(scores)
    place = max(range(len(values)), key=lambda i: scores[values[i]], default=0)
    if not 0 < place < len(values) - 1:
        return None
    (a, b, c), (low, top, high) = zip(
        *((math.log(x), scores[x]) for x in values[place - 1 : place + 2]), strict=True
    )
    left, right = (b - a) * (top - high), (b - c) * (top - low)
    if left == right:  # three equal scores
        return None
    return math.exp(b - 0.5 * ((b - a) * left - (b - c) * right) / (left - right))


def _acting(tree: Expr, *, moves: bool) -> list[bool]:
    """Whether a layer uses the numbers of a formula, in the order of the tree."""
    if isinstance(tree, Call) and tree.function == "add":
        return [each for term in tree.args for each in _acting(term, moves=moves)]
    count = 1 if isinstance(tree, Number) else len(numbers_of(tree))
    return [moves or "X" in tree.names] * count


def _float(span: Range) -> FloatDistribution:
    assert span.low is not None
    assert span.high is not None
    return FloatDistribution(span.low, span.high, log=span.log)
