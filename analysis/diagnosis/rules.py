"""When a measure is worth advice, and which: one table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from attenergy.analysis.calls import OWN
from attenergy.analysis.diagnosis.facts import HeadFacts


@dataclass(frozen=True)
class Rule:
    """Advice, and when it is given.

    Attributes:
        name: in a word or two.
        when: the condition, with its thresholds, in words.
        holds: whether a head meets it.
        advice: what to say of the heads of one layer that do.
    """

    name: str
    when: str
    holds: Callable[[HeadFacts], bool]
    advice: Callable[[Sequence[HeadFacts]], str]


@dataclass(frozen=True)
class Advice:
    """One sentence of advice.

    Attributes:
        rule: its name.
        block: path of the layer.
        heads: whom it concerns.
        text: the sentence.
    """

    rule: str
    block: str
    heads: tuple[int, ...]
    text: str


#: Thresholds of the rules.
UNIFORM_ROWS, ONE_HOT_ROWS, WEAK_SIGNAL = 0.95, 0.95, 1e-3
FALLING, ALIKE, UNEQUAL, CURLED = 0.99, 0.98, 1.0, 1e-2
FAR, STUCK, EXPANDING = math.log(30), 1e-4, 2.0


def _mean(heads: Sequence[HeadFacts], key: str) -> float:
    values = [float(getattr(head, key)) for head in heads]
    return sum(values) / len(values)


def _beta(heads: Sequence[HeadFacts]) -> str:
    values = [head.beta for head in heads if not math.isnan(head.beta)]
    return f"beta = {sum(values) / len(values):.3g}, " if values else ""


def _uniform(heads: Sequence[HeadFacts]) -> str:
    sharpen = "raise beta or give" if _beta(heads) else "sharpen the weights, or give"
    return (
        f"{_beta(heads)}weights uniform (entropy {_mean(heads, 'entropy'):.4f} log S), so that all "
        f"states read the mean: {sharpen} the patterns a larger and equal length"
    )


def _alike(heads: Sequence[HeadFacts]) -> str:
    return (
        f"the patterns are nearly one and the same (mean cosine {_mean(heads, 'overlap'):.3f}), "
        "which is why weights are uniform: subtract their mean, or normalise states and patterns "
        "(`normalize_states`, `normalize_patterns`)"
    )


def _saturated(heads: Sequence[HeadFacts]) -> str:
    return (
        f"{_beta(heads)}weights saturated ({_mean(heads, 'one_hot'):.0%} of the rows one-hot), the "
        f"gradient to the query is {_mean(heads, 'signal'):.1e} of that to the patterns: lower "
        "beta, take fewer steps, or normalise states and patterns"
    )


def _weak(heads: Sequence[HeadFacts]) -> str:
    steps = f" over {heads[0].moves + 1} steps" if heads[0].moves else ""
    return (
        f"{_beta(heads)}the query has no say{steps}: the gradient to it is "
        f"{_mean(heads, 'signal'):.1e} of that to the patterns: take fewer steps, and keep beta "
        "near 1/sqrt(D) for patterns of length sqrt(D)"
    )


def _rising(heads: Sequence[HeadFacts]) -> str:
    why = heads[0].no_guarantee or "theory says that it does not: check the energy"
    return (
        f"the energy rises on {1 - _mean(heads, 'descent'):.0%} of the steps with gamma = "
        f"{heads[0].step_size:.3g} ({why}): lower the step size, or change the solver"
    )


def _too_long(heads: Sequence[HeadFacts]) -> str:
    return (
        f"gamma = {heads[0].step_size:.3g} is above {heads[0].largest_step_size:g}, up to which no "
        "step raises the energy: lower the step size"
    )


def _expanding(heads: Sequence[HeadFacts]) -> str:
    return (
        f"where the heads end, a step drives near states apart (factor "
        f"{_mean(heads, 'factor'):.2g}), so they are not at rest: lower beta or the step size, or "
        "take more steps"
    )


def _at_bifurcation(heads: Sequence[HeadFacts]) -> str:
    return (
        f"the factor at rest reaches {max(h.factor_high for h in heads):.2g}: from 1 on the "
        "implicit gradient of `fixed_point` means nothing: lower beta"
    )


def _curled(heads: Sequence[HeadFacts]) -> str:
    return (
        f"the update is not the gradient of '{heads[0].energy}' (curl {_mean(heads, 'curl'):.2g}): "
        "check its closed form with `attenergy energies check`"
    )


def _unequal(heads: Sequence[HeadFacts]) -> str:
    return (
        f"lengths of patterns differ by {_mean(heads, 'norm_spread'):.1f} of their mean, so the "
        "longest win for every state: normalise the patterns (`normalize_patterns`), or use the "
        "energy 'l2_lse'"
    )


def _far(heads: Sequence[HeadFacts]) -> str:
    factors = ", ".join(sorted({f"{math.exp(head.beta_change):.2g}" for head in heads}))
    return (
        f"training multiplied beta by {factors}: start from beta = {_mean(heads, 'beta'):.2g}, or "
        "give beta a smaller learning rate"
    )


def _stuck(heads: Sequence[HeadFacts]) -> str:
    return (
        f"beta = {heads[0].beta:.3g} did not move in training: it gets no gradient, or its "
        "learning rate is too small"
    )


#: Every rule; a new one is one row.
RULES: tuple[Rule, ...] = (
    Rule(
        "uniform",
        f"more than {UNIFORM_ROWS} of the rows of weights have entropy above .99 log S",
        lambda h: h.uniform > UNIFORM_ROWS,
        _uniform,
    ),
    Rule(
        "patterns alike",
        f"uniform, and the mean cosine of two patterns is above {ALIKE}",
        lambda h: h.uniform > UNIFORM_ROWS and h.overlap > ALIKE,
        _alike,
    ),
    Rule(
        "saturated",
        f"more than {ONE_HOT_ROWS} of the rows have entropy below .01 log S, and the signal to the "
        f"query is below {WEAK_SIGNAL:g}",
        lambda h: h.one_hot > ONE_HOT_ROWS and h.signal < WEAK_SIGNAL,
        _saturated,
    ),
    Rule(
        "vanishing signal",
        f"the signal to the query is below {WEAK_SIGNAL:g}, of rows neither uniform nor one-hot",
        lambda h: (
            h.signal < WEAK_SIGNAL and not (h.uniform > UNIFORM_ROWS or h.one_hot > ONE_HOT_ROWS)
        ),
        _weak,
    ),
    Rule(
        "rising energy",
        f"less than {FALLING} of the steps descend, of a solver that descends",
        lambda h: h.descent < FALLING and h.solver != "langevin",
        _rising,
    ),
    Rule(
        "long steps",
        "gamma is above the largest for which theory guarantees descent",
        lambda h: h.step_size > h.largest_step_size,
        _too_long,
    ),
    Rule(
        "expanding",
        "the state moves before it is read, and the median factor of a step at its end is above "
        f"{EXPANDING:g}",
        lambda h: (
            h.moves > 0 and h.factor > EXPANDING and h.solver not in ("fixed_point", "langevin")
        ),
        _expanding,
    ),
    Rule(
        "bifurcation",
        "solver fixed_point, and the 95th percentile of the factor at rest is 1 or more",
        lambda h: h.solver == "fixed_point" and h.factor_high >= 1,
        _at_bifurcation,
    ),
    Rule(
        "no gradient",
        f"the layer has an energy, and its update's curl is above {CURLED}",
        lambda h: h.reading == OWN and h.curl > CURLED,
        _curled,
    ),
    Rule(
        "unequal patterns",
        f"the standard deviation of the patterns' lengths is above {UNEQUAL} of their mean",
        lambda h: h.norm_spread > UNEQUAL,
        _unequal,
    ),
    Rule(
        "beta far away",
        "beta is learned, and training moved it by more than a factor of 30",
        lambda h: h.beta_learned and abs(h.beta_change) > FAR,
        _far,
    ),
    Rule(
        "beta stuck",
        f"beta is learned, and training moved log beta by less than {STUCK:g}",
        lambda h: h.beta_learned and abs(h.beta_change) < STUCK,
        _stuck,
    ),
)


def advise(heads: Iterable[HeadFacts]) -> tuple[Advice, ...]:
    """All advice, layer by layer; none for healthy heads."""
    layers: dict[str, list[HeadFacts]] = {}
    for head in heads:
        layers.setdefault(head.block, []).append(head)
    advice = []
    for block, members in layers.items():
        for rule in RULES:
            hit = [head for head in members if rule.holds(head)]
            if hit:
                numbers = tuple(head.head for head in hit)
                who = block if len(hit) == len(members) else f"{block}, {_named(numbers)}"
                text = f"{who}: {rule.advice(hit)}."
                advice.append(Advice(rule.name, block, numbers, text))
    return tuple(advice)


def _named(heads: tuple[int, ...]) -> str:
    return f"head{'s' if len(heads) > 1 else ''} {', '.join(map(str, heads))}"
