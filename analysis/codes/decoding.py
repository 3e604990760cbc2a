"""What a code tells of a label, on combinations that the decoder has not seen, beside controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attenergy.analysis.codes.decoders import (
    Scaling,
    balanced_accuracy,
    fit_logistic,
    fit_ridge,
    macro_f1,
    r2_of_sums,
    sums_of,
    tabulate,
)
from attenergy.analysis.codes.sets import (
    Sets,
    groups_of,
    jackknife,
    permuted_labels,
    scrambled,
)

#: What the codes of all layers together are called.
ALL = "all layers"


@dataclass(frozen=True)
class Score:
    """One decoder on one set: balanced accuracy and macro F1 of classes, R2 of numbers.

    Attributes:
        value: balanced accuracy or R2.
        f1: macro F1; NaN of numbers.
        error: standard error of `value`, a jackknife over the combinations, or over blocks of
            instances where those are not known.
    """

    value: float
    f1: float
    error: float


@dataclass(frozen=True)
class LayerDecoding:
    """What the code of one layer tells of a label.

    Attributes:
        layer: its name, or `ALL`, whose codes are joined.
        fresh: on fresh instances of the combinations that the decoder was fitted on.
        judged: on held-out combinations, or `fresh` again where there are none to judge.
        permuted: values on the same set where labels are permuted, fitted and judged ones.
        scrambled: of a decoder of scrambled heads: each head's weights dealt out anew to the
            instances, so that their distribution stays and what they tell is gone.
    """

    layer: str
    fresh: Score
    judged: Score
    permuted: tuple[float, ...]
    scrambled: Score


@dataclass(frozen=True)
class LabelDecoding:
    """What the codes of all layers tell of one label.

    Attributes:
        label: its name.
        classes: names of the classes that the decoder was fitted on; empty of numbers.
        unseen: names of held-out classes that do not occur among the seen combinations; no decoder
            can answer them, so their instances are not judged.
        not_judged: how many instances those are.
        majority: of answering the most frequent class, or the mean, without any code.
        layers: one entry for each.
        instances: fitted on, fresh, held out.
        combinations: of the held-out instances; 0 if not known.
    """

    label: str
    classes: tuple[str, ...]
    unseen: tuple[str, ...]
    not_judged: int
    majority: Score
    layers: tuple[LayerDecoding, ...]
    instances: tuple[int, int, int]
    combinations: int

    @property
    def of_numbers(self) -> bool:
        """Whether the label is of numbers."""
        return not self.classes

    @property
    def metric(self) -> str:
        """What the values are."""
        return "R2" if self.of_numbers else "balanced accuracy"

    @property
    def null(self) -> tuple[float, ...]:
        """For each permutation of the labels, the highest value of any layer."""
        return tuple(map(max, zip(*(each.permuted for each in self.layers), strict=True)))

    def p_value(self, value: float) -> float:
        """Share of permutations, the truth among them, in which some layer reaches `value`."""
        return (1 + sum(one >= value for one in self.null)) / (1 + len(self.null))

    @property
    def on_held_out(self) -> bool:
        """Whether it is judged on held-out combinations, not on fresh instances of seen ones."""
        return self.instances[2] > 0

    @property
    def best(self) -> LayerDecoding:
        """The layer that tells most; `p_value` accounts for the choice."""
        return max(self.layers, key=lambda each: each.judged.value)


def decode_classes(
    layers: Mapping[str, Tensor],
    name: str,
    labels: Tensor,
    classes: Sequence[str],
    sets: Sets,
    permutations: int,
    seed: int,
) -> LabelDecoding:
    """Logistic decoders of a label's classes, one for each layer, and their controls.

    Args:
        layers: name -> codes (N, F).
        name: of the label.
        labels: (N,), a class of each instance, negative where there is none.
        classes: their names.
        sets: which instances to fit and to judge.
        permutations: of the labels.
        seed: of all that is drawn.
    """
    sets = sets.where(labels >= 0)
    known = torch.unique(labels[sets.fit])
    number = torch.full((max(len(classes), int(labels.max()) + 1, 1),), -1)
    number[known] = torch.arange(len(known))
    unseen = torch.unique(labels[sets.held_out])
    unseen = unseen[number[unseen] < 0]
    held_out = len(sets.held_out)
    numbered = torch.where(labels >= 0, number[labels.clamp(min=0)], -1)
    sets = sets.where(numbered >= 0)
    truth = numbered[sets.fit]
    pair = permuted_labels(numbered[:, None], sets, permutations, seed)
    permuted, aside = (each[..., 0] for each in pair)
    count = len(known)

    def answers(codes: Tensor, fitted: Tensor) -> tuple[Tensor, Tensor]:
        scaling = Scaling.of(codes[sets.fit])
        decoder = fit_logistic(scaling(codes[sets.fit]), fitted, count)
        return decoder(scaling(codes[sets.fresh])), decoder(scaling(codes[sets.judged]))

    def score(given: Tensor, where: Tensor) -> Score:
        groups, total = groups_of(where, sets.combinations, seed)
        parts = torch.stack(
            [tabulate(given[None, groups == g], numbered[where][groups == g], count)[0]
             for g in range(total)]
        )  # fmt: skip
        value = balanced_accuracy(parts.sum(0))
        error = jackknife(balanced_accuracy(parts.sum(0) - parts))
        return Score(float(value), float(macro_f1(parts.sum(0))), error)

    every = []
    for layer, codes in layers.items():
        fresh, judged = answers(codes, torch.cat([truth[None], permuted]))
        table = tabulate(judged[1:], aside, count)
        mixed = answers(scrambled(codes, seed), truth[None])[1][0]
        every.append(
            LayerDecoding(
                layer,
                score(fresh[0], sets.fresh),
                score(judged[0], sets.judged),
                tuple(balanced_accuracy(table).tolist()),
                score(mixed, sets.judged),
            )
        )
    most = torch.bincount(truth, minlength=1).argmax().expand(len(sets.judged))
    return LabelDecoding(
        name,
        tuple(classes[i] for i in known.tolist()),
        tuple(classes[i] for i in unseen.tolist()),
        held_out - len(sets.held_out),
        score(most, sets.judged),
        tuple(every),
        (len(sets.fit), len(sets.fresh), len(sets.held_out)),
        sets.held_out_combinations,
    )


def decode_numbers(
    layers: Mapping[str, Tensor],
    name: str,
    values: Tensor,
    sets: Sets,
    permutations: int,
    seed: int,
) -> LabelDecoding:
    """Ridge decoders of M numbers, one for each layer, and their controls; R2 averaged over M.

    Args are those of `decode_classes`, with values (N, M), NaN where there is none.
    """
    sets = sets.where(~values.isnan().any(-1))
    truth = values[sets.fit].double()
    mean = truth.mean(0)
    alone = torch.zeros(len(sets.judged), dtype=torch.int64)
    permuted, aside = permuted_labels(values.double(), sets, permutations, seed)

    def guesses(codes: Tensor, fitted: Tensor) -> tuple[Tensor, Tensor]:
        scaling = Scaling.of(codes[sets.fit])
        W = fit_ridge(scaling(codes[sets.fit]), fitted)
        return scaling(codes[sets.fresh]) @ W, scaling(codes[sets.judged]) @ W

    def score(given: Tensor, where: Tensor) -> Score:
        groups, total = groups_of(where, sets.combinations, seed)
        parts = sums_of(values[where].double(), given, groups, total)
        value = float(r2_of_sums(parts.sum(0)))
        return Score(value, float("nan"), jackknife(r2_of_sums(parts.sum(0) - parts)))

    every = []
    for layer, codes in layers.items():
        fresh, judged = guesses(codes, torch.cat([truth[None], permuted]))
        permuted_r2 = [
            float(r2_of_sums(sums_of(target, one, alone, 1)[0]))
            for target, one in zip(aside, judged[1:], strict=True)
        ]
        mixed = guesses(scrambled(codes, seed), truth[None])[1][0]
        every.append(
            LayerDecoding(
                layer,
                score(fresh[0], sets.fresh),
                score(judged[0], sets.judged),
                tuple(permuted_r2),
                score(mixed, sets.judged),
            )
        )
    return LabelDecoding(
        name,
        (),
        (),
        0,
        score(mean.expand(len(alone), -1), sets.judged),
        tuple(every),
        (len(sets.fit), len(sets.fresh), len(sets.held_out)),
        sets.held_out_combinations,
    )
