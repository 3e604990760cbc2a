"""ListOps: evaluate a nested expression over lists of digits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from attenergy.registry import TaskOptionError
from attenergy.tasks.core.base import IGNORE, Task, check_whole, scored_hits
from attenergy.tasks.core.batches import Batch, Estimate, Inputs, Outputs
from attenergy.tasks.core.streams import Fields, concatenate, draw_in_part
from attenergy.tasks.formal.listops_trees import (
    OPERATORS,
    Ints,
    Level,
    evaluate,
    grow,
    lengths_of,
    select,
    write,
)

WORDS = ("_", *map(str, range(10)), *(f"[{name}" for name in OPERATORS), "]", "CLS")
CLS = len(WORDS) - 1
_NODES = 1 << 19  # trees are drawn so many nodes at a time: a bound on memory
_MOST_DEPTH = 64
_TRIED, _LEAST = 200_000, 1e-4  # give up when fewer trees than this have a wanted length


class ListOps(Task):
    """CLS, then e.g. `[MAX 2 9 [MIN 4 7 ] 0 ]`: the value of the expression, 0-9, is asked at CLS.

    A node above level `depth` is a digit 0-9 with probability 3/4, else an operator MIN, MAX, MED
    (whole part of the median) or SM (sum modulo 10) on 2..`arguments` nodes; on that level it is a
    digit; all uniform. Expressions of `longer_than` < tokens <= `longest` are kept, an operator and
    its closing bracket being a token each. Inputs (B, 1 + longest), id 0 is padding.

    Splits `train`, `valid`, `test` share no expression. (Equal ones within a split are not removed;
    they are rare in all but tiny settings.) Metric `accuracy`, chance 1/10. Small values and 9 are
    likelier than others. The ceiling is 1.

    Args:
        depth: deepest level, the root is level 1; >= 2.
        arguments: most arguments of an operator, >= 2.
        longer_than: least number of tokens, exclusive.
        longest: greatest number of tokens.
        train_instances: so many different ones to train on; 0: new ones without end.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the evaluation sets.

    Raises:
        ValueError: for options out of range; on reading a split, if the lengths (almost) never
            occur or there are too few expressions.

    Source: Nangia and Bowman 2018, arXiv:1804.06028; the sizes of Tay et al. 2021 (Long Range
    Arena), arXiv:2011.04006.

    Example:
        >>> print(ListOps(depth=3, arguments=3, longer_than=2, longest=12).sample("train", 0))
        [MED [MIN 3 5 ] [SM 7 3 6 ] ] = 4
    """

    splits = ("train", "valid", "test")
    metric = "accuracy"

    def __init__(
        self,
        *,
        depth: int = 10,
        arguments: int = 10,
        longer_than: int = 500,
        longest: int = 1999,
        train_instances: int = 0,
        name: str = "listops",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.depth = check_whole("depth", depth, 2, _MOST_DEPTH)
        self.arguments = check_whole("arguments", arguments, 2)
        self.longer_than = check_whole("longer_than", longer_than, 1)
        self.longest = check_whole("longest", longest, self.longer_than + 1)
        # A node has (2 + arguments) / 2 below it with probability 1/4.
        if self.depth * math.log((2 + self.arguments) / 8) > math.log(_NODES):
            raise TaskOptionError(
                f"'depth' is {depth} and 'arguments' {arguments}: a tree would have more than "
                f"{_NODES:,} nodes on average"
            )
        self.train_instances = check_whole("train_instances", train_instances, 0, most=None)
        self.inputs = Inputs("token", len(WORDS), 1 + self.longest)
        self.scored_positions = slice(0, 1)
        self.outputs = Outputs(10)
        self.chance = {"accuracy": 0.1}
        super().__init__()

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `tokens` (N, 1 + longest) as bytes, `lengths` and `values` (N,)."""
        seed = int(torch.randint(1 << 62, (), generator=generator))
        random = np.random.default_rng(seed)
        return draw_in_part(
            lambda size: self.draw(size, random), lambda drawn: drawn["tokens"], split, count,
            at_once=4096,
        )  # fmt: skip

    def draw(self, count: int, random: np.random.Generator) -> Fields:
        """Draw `count` expressions of the wanted lengths, of any split."""
        most = int(_NODES / max(1.0, ((2 + self.arguments) / 8) ** self.depth))
        size = min(16 * count, most)
        pieces: list[Fields] = []
        drawn = accepted = 0
        while accepted < count:
            levels = grow(size, depth=self.depth, most=self.arguments, random=random)
            lengths = lengths_of(levels, size)
            wanted = (lengths > self.longer_than) & (lengths <= self.longest)
            drawn, accepted = drawn + size, accepted + int(wanted.sum())
            if drawn >= _TRIED and accepted < _LEAST * drawn:
                raise TaskOptionError(
                    f"of {drawn} drawn expressions {accepted} have more than {self.longer_than} "
                    f"and at most {self.longest} tokens; choose other lengths, depth or arguments"
                )
            size = min(1 + int(1.1 * (count - accepted) * drawn / max(accepted, 1)), most)
            if wanted.any():
                pieces.append(self._finish(select(levels, wanted), lengths[wanted]))
        return {name: x[:count] for name, x in concatenate(pieces).items()}

    def _finish(self, levels: list[Level], lengths: Ints) -> Fields:
        written = torch.from_numpy(write(levels, lengths))
        return {
            "tokens": pad(written, (0, self.longest - written.shape[1])),
            "lengths": torch.from_numpy(lengths),
            "values": torch.from_numpy(evaluate(levels)),
        }

    def encode(self, instances: Fields) -> Batch:
        """CLS and the expression; the target at CLS is the value."""
        tokens = pad(instances["tokens"].long(), (1, 0), value=CLS)
        targets = torch.full_like(tokens, IGNORE)
        targets[:, 0] = instances["values"]
        visible = torch.arange(tokens.shape[1]) <= instances["lengths"][:, None]
        return Batch(tokens, targets, visible)

    def metrics(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`accuracy`: 1 where the value is right, (B,)."""
        hits, _ = scored_hits(logits, targets)
        return {"accuracy": hits.any(-1).float()}

    def _ceiling(self, split: str) -> Estimate:
        return Estimate(1.0, 0.0, 0)  # the value is a function of the expression

    def sample(self, split: str, index: int) -> Expression:
        """Instance `index` of `split`, to look at."""
        tokens, length, value = self.instances(split, index, 1).values()
        words = tuple(WORDS[token] for token in tokens[0, : int(length)].tolist())
        return Expression(words, int(value))


@dataclass(frozen=True)
class Expression:
    """The tokens of one expression, and its value.

    Example:
        >>> ListOps(depth=3, arguments=3, longer_than=2, longest=12).sample("train", 0).value
        4
    """

    tokens: tuple[str, ...]
    value: int

    def __str__(self) -> str:
        return f"{' '.join(self.tokens)} = {self.value}"
