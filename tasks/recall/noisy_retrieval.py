"""Retrieval of a stored binary pattern from a noisy copy: a test of a memory, without training."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import torch
from torch import Generator, Tensor

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import Task, check_whole
from attenergy.tasks.core.batches import Batch, Estimate, Inputs, Outputs
from attenergy.tasks.core.contents import member_codes, row_codes
from attenergy.tasks.core.streams import Fields, belongs

_MOST_BITS = 512  # for which the ceiling is computed
_ROUNDS = 1000  # a split takes one memory in 16, so an honest draw never needs as many
_CHANNEL = 8  # bits that are kept in a byte


class NoisyRetrieval(Task):
    """N random patterns of d bits, +-1, and a copy of one with each bit flipped with probability p.

    Inputs (B, N + 1, d) of kind `memory`: the stored patterns, then the noisy copy. Targets (B, d):
    the bits of the pattern it came from, 1 for +1. Logits (B, d, 2). Nothing is to be trained.

    Metrics of an instance: `exact`, whether all bits are right; `bit_accuracy`, the share of right
    bits; `overlap_gain`, the overlap 2 bit_accuracy - 1 with the pattern, less 1 - 2p, which the
    copy has on average. Giving back the copy scores bit_accuracy 1 - p and overlap_gain 0. `chance`
    is that of random bits. `ceiling` is `exact` of the best rule, the nearest pattern: with K ~
    Bin(d, p) flips, q and r the chances that a random pattern is K or more than K bits away, it is
    the mean of ((q + r)^N - r^N) / (N q), ties being broken at random; that two of the patterns may
    be equal, probability 2^-d for each pair, is left out of account. It is a mean over all
    instances; a score over n of them scatters around it, by sqrt(c (1 - c) / n).

    Patterns that a memory of d units can hold, for small p: about 0.14 d if its interaction is
    quadratic (Hopfield), of the order d^(n-1) if it has degree n (Krotov and Hopfield 2016), of the
    order 2^(d/2) if it is exponential (Demircigil et al. 2017; Ramsauer et al. 2020).

    Splits share no memory, whatever the order of its patterns.

    Args:
        dim: d >= 1.
        patterns: N >= 1.
        flip: p, above 0 and below 1/2. Without noise nothing is tested: the matrix of a quadratic
            memory tends to N times the identity, so every state stays where it is and scores 1.
        name: name in reports.
        seed: decides the training stream, which nobody needs.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if there are too few memories to
            fill it.

    Source: Hopfield 1982, doi:10.1073/pnas.79.8.2554; Krotov and Hopfield 2016, arXiv:1606.01164;
    Demircigil et al. 2017, arXiv:1702.01929; Ramsauer et al. 2020, arXiv:2008.02217.

    Example:
        >>> print(NoisyRetrieval(dim=8, patterns=3, flip=0.1).sample("train", 0))
        stored:  3 patterns of 8 bits
        query:   ---+-+++
        flipped:       ^
        answer:  ---+-+-+ (number 0)
    """

    splits = ("train", "valid", "test")
    metric = "exact"

    def __init__(
        self,
        *,
        dim: int = 64,
        patterns: int = 64,
        flip: float = 0.3,
        name: str = "retrieval",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.dim = check_whole("dim", dim, 1)
        self.patterns = check_whole("patterns", patterns, 1)
        if flip == 0:
            raise TaskOptionError(
                "'flip' must be above 0: without noise a memory in which every state is a fixed "
                "point restores nothing and scores 1"
            )
        if not 0 < flip < 0.5:
            raise TaskOptionError(
                f"'flip' must be a probability above 0 and below 0.5, got {flip!r}"
            )
        self.flip = flip
        self.inputs = Inputs("memory", self.dim, self.patterns + 1)
        self.outputs = Outputs(2)
        self.chance = {
            "exact": 0.5**self.dim,
            "bit_accuracy": 0.5,
            "overlap_gain": 2 * self.flip - 1,
        }
        super().__init__()

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `stored` (n, N, bytes), packed bits, `index` (n,) and `flips` bool (n, d).

        One pattern after another is drawn anew until the memory falls to the split.
        """
        stored = self._draw(count * self.patterns, generator).view(count, self.patterns, -1)
        members = member_codes(row_codes(stored))
        waiting = torch.arange(count)
        for number in range(_ROUNDS):
            taken = belongs(members[waiting].sum(-1, keepdim=True), split)
            waiting = waiting[~taken]
            if not len(waiting):
                return {
                    "stored": stored,
                    "index": torch.randint(self.patterns, (count,), generator=generator),
                    "flips": torch.rand(count, self.dim, generator=generator) < self.flip,
                }
            place = number % self.patterns
            stored[waiting, place] = self._draw(len(waiting), generator)
            members[waiting, place] = member_codes(row_codes(stored[waiting, place]))
        raise TaskOptionError(
            f"the split '{split}' cannot be filled: {self.patterns} patterns of {self.dim} bits "
            "make too few different memories, make 'dim' larger"
        )

    def _draw(self, count: int, generator: Generator) -> Tensor:
        """Draw patterns (count, bytes); bits beyond `dim` are 0, so that equal ones are equal."""
        width = -(-self.dim // _CHANNEL)
        packed = torch.randint(256, (count, width), generator=generator, dtype=torch.uint8)
        packed[:, -1] &= 255 >> (width * _CHANNEL - self.dim)
        return packed

    def encode(self, instances: Fields) -> Batch:
        """Return +-1, float32, and the wanted bits, int64."""
        stored, index, flips = (instances[name] for name in ("stored", "index", "flips"))
        places = torch.arange(_CHANNEL, dtype=torch.uint8)
        bits = ((stored[..., None] >> places) & 1).flatten(-2)[..., : self.dim]
        wanted = bits[torch.arange(len(bits)), index]
        seen = torch.cat([bits, (wanted ^ flips)[:, None]], 1)
        return Batch(seen.float().mul_(2).sub_(1), wanted.long())

    def metrics(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`exact`, `bit_accuracy` and `overlap_gain` from logits (B, d, 2), targets (B, d)."""
        hits = logits.argmax(-1) == targets
        share = hits.to(logits.dtype).mean(-1)
        return {
            "exact": hits.all(-1).to(logits.dtype),
            "bit_accuracy": share,
            "overlap_gain": (2 * share - 1) - (1 - 2 * self.flip),
        }

    def _ceiling(self, split: str) -> Estimate | None:
        if self.dim > _MOST_BITS:
            return None
        return Estimate(nearest_is_right(self.dim, self.patterns, self.flip), 0.0, 0)

    def sample(self, split: str, index: int) -> RetrievalInstance:
        """Instance `index` of `split`, to look at."""
        fields = self.instances(split, index, 1)
        rows = self.encode(fields).inputs[0] > 0
        *stored, query = ("".join("-+"[bit] for bit in row) for row in rows.int().tolist())
        return RetrievalInstance(tuple(stored), query, int(fields["index"]))


def nearest_is_right(dim: int, patterns: int, flip: float) -> float:
    """Probability that the pattern nearest to a noisy copy is the one it came from."""
    right = 0.0
    for flips in range(dim + 1):
        same = comb(dim, flips) / 2**dim
        further = sum(comb(dim, k) for k in range(flips + 1, dim + 1)) / 2**dim
        probability = comb(dim, flips) * flip**flips * (1 - flip) ** (dim - flips)
        # ((q + r)^N - r^N) / q written as a sum, since q may be tiny
        powers = ((same + further) ** k * further ** (patterns - 1 - k) for k in range(patterns))
        right += probability * sum(powers) / patterns
    return right


@dataclass(frozen=True)
class RetrievalInstance:
    """The stored patterns and the noisy copy, bits as `-` and `+`; `index` says of which one.

    Example:
        >>> NoisyRetrieval(dim=8, patterns=3, flip=0.1).sample("train", 0)
        RetrievalInstance(stored=('---+-+-+', '-+-+--++', '++--+-++'), query='---+-+++', index=0)
    """

    stored: tuple[str, ...]
    query: str
    index: int

    def __str__(self) -> str:
        pattern = self.stored[self.index]
        marks = "".join(" ^"[a != b] for a, b in zip(pattern, self.query, strict=True))
        return "\n".join(
            [
                f"stored:  {len(self.stored)} patterns of {len(self.query)} bits",
                f"query:   {self.query}",
                f"flipped: {marks}".rstrip(),
                f"answer:  {pattern} (number {self.index})",
            ]
        )
