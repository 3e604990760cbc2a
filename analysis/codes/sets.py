"""Which instances a decoder is fitted and judged on, and labels and codes dealt out as controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from attenergy.registry import AnalysisError

#: Share of the seen instances that decoders are fitted to, and at most so many.
_FITTED, _MOST_FITTED = 2 / 3, 3000
#: Blocks of a jackknife where the instances belong to no combinations.
_BLOCKS = 40


@dataclass(frozen=True, eq=False)
class Sets:
    """Which instances a decoder is fitted on and judged on, by their numbers.

    Attributes:
        fit: of seen combinations, for the decoder.
        fresh: of seen combinations too, which the decoder has not seen.
        held_out: of combinations that are not in `fit`; empty if none are held out.
        combinations: (N,) of all instances; None if they are not known.
    """

    fit: Tensor
    fresh: Tensor
    held_out: Tensor
    combinations: Tensor | None

    @property
    def judged(self) -> Tensor:
        """The held-out ones if there are any, else the fresh ones."""
        return self.held_out if len(self.held_out) else self.fresh

    def where(self, there: Tensor) -> Sets:
        """The instances at which `there` (N,) is true."""
        fit, fresh, held_out = (each[there[each]] for each in (self.fit, self.fresh, self.held_out))
        return Sets(fit, fresh, held_out, self.combinations)

    @property
    def held_out_combinations(self) -> int:
        """How many combinations the held-out instances have; 0 if they are not known."""
        if self.combinations is None:
            return 0
        return len(torch.unique(self.combinations[self.held_out]))


def split(
    count: int,
    held_out: Tensor | Sequence[bool] | None,
    combinations: Tensor | Sequence[int] | None,
    seed: int,
) -> Sets:
    """Two thirds of the seen instances to fit, the others fresh.

    Args:
        count: N.
        held_out: (N,), true where an instance is held out.
        combinations: (N,).
        seed: of the choice.

    Raises:
        ArgumentError: shapes that do not fit, or a combination that is on both sides.
    """
    apart = torch.zeros(count, dtype=torch.bool)
    if held_out is not None:
        apart = torch.as_tensor(held_out).cpu()
        if apart.shape != (count,) or apart.dtype != torch.bool:
            raise AnalysisError(
                f"held_out must be {count} times true or false, one for each instance, got "
                f"{apart.dtype} {tuple(apart.shape)}"
            )
    groups = None
    if combinations is not None:
        groups = torch.as_tensor(combinations).cpu()
        if groups.shape != (count,) or groups.is_floating_point():
            raise AnalysisError(
                f"combinations must be {count} whole numbers, one for each instance, got "
                f"{groups.dtype} {tuple(groups.shape)}"
            )
        both = set(groups[apart].tolist()) & set(groups[~apart].tolist())
        if both:
            raise AnalysisError(
                f"combination {min(both)} is held out in some instances and seen in others"
            )
    seen = (~apart).nonzero()[:, 0]
    if len(seen) < 4:
        raise AnalysisError(f"decoders need seen instances to be fitted to, got {len(seen)}")
    order = seen[torch.randperm(len(seen), generator=Generator().manual_seed(seed))]
    fitted = min(int(len(seen) * _FITTED), _MOST_FITTED)
    return Sets(order[:fitted], order[fitted:], apart.nonzero()[:, 0], groups)


def permuted_labels(
    labels: Tensor, sets: Sets, permutations: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Labels (N, M) dealt out anew, among the fitted instances and among those that are judged.

    Among both, since codes in a few clusters give a decoder of permuted labels a rule of its own,
    which on the true labels is right by chance, of two classes every fourth time. Instances of one
    combination and label keep sharing one: they are no independent evidence. Where fresh instances
    of the fitted combinations are judged, they share it with these.

    Returns:
        (permutations, fitted, M) and (permutations, judged, M).
    """
    generator = Generator().manual_seed(seed)
    fit, judged = sets.fit, sets.judged
    if sets.combinations is None or len(sets.held_out):
        first, second = (
            _dealt_out(labels, where, sets.combinations, permutations, generator)
            for where in (fit, judged)
        )
        return first, second
    both = torch.cat([fit, judged])
    every = _dealt_out(labels, both, sets.combinations, permutations, generator)
    return every[:, : len(fit)], every[:, len(fit) :]


def _dealt_out(
    labels: Tensor,
    where: Tensor,
    combinations: Tensor | None,
    permutations: int,
    generator: Generator,
) -> Tensor:
    """The labels of the instances `where`, (permutations, n, M), in as many random orders."""
    truth = labels[where]
    if not (len(truth) and permutations):
        return truth.new_zeros(permutations, *truth.shape)
    cells = torch.arange(len(truth))
    if combinations is not None:
        rows = torch.cat([combinations[where][:, None].to(truth.dtype), truth], -1)
        _, cells = torch.unique(rows, dim=0, return_inverse=True)
    count = int(cells.max()) + 1
    of_cell = truth.new_zeros(count, truth.shape[-1])
    of_cell[cells] = truth
    orders = [torch.randperm(count, generator=generator) for _ in range(permutations)]
    return torch.stack([of_cell[order][cells] for order in orders])


def scrambled(codes: Tensor, seed: int) -> Tensor:
    """Each column of the codes in an order of its own."""
    generator = Generator().manual_seed(seed + 1)
    columns = [column[torch.randperm(len(codes), generator=generator)] for column in codes.mT]
    return torch.stack(columns, -1)


def groups_of(where: Tensor, combinations: Tensor | None, seed: int) -> tuple[Tensor, int]:
    """A group for each of the instances `where`, and how many groups there are."""
    if combinations is not None:
        every, groups = torch.unique(combinations[where], return_inverse=True)
        return groups, len(every)
    order = torch.randperm(len(where), generator=Generator().manual_seed(seed))
    count = max(1, min(_BLOCKS, len(where)))
    return order % count, count


def jackknife(without: Tensor) -> float:
    """Standard error from values (G,) that leave one group out each; NaN of fewer than two."""
    without = without[~without.isnan()]
    count = len(without)
    if count < 2:
        return float("nan")
    return float(((count - 1) / count * (without - without.mean()).square().sum()).sqrt())
