"""What tasks over token sequences share: batches, accuracies, instances to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from attenergy.tasks.core.base import IGNORE, Task, scored_hits
from attenergy.tasks.core.batches import Batch
from attenergy.tasks.core.streams import Fields


class TokenTask(Task):
    """A task whose `generate` draws the `tokens` and their `targets`, both int64 (N, L).

    A third field, `lengths` (N,), is there where shorter sequences were padded on the right.
    Metric `accuracy`: share of an instance's scored positions whose largest logit is the target.

    Example:
        >>> class Echo(TokenTask):
        ...     splits = ("train", "valid", "test")
        ...     def __init__(self, *, name="echo", seed=0, split_seed=0):
        ...         self.inputs, self.outputs = Inputs("token", 8, 5), Outputs(8)
        ...         self.chance = {"accuracy": 1 / 8}
        ...         super().__init__(name=name, seed=seed, split_seed=split_seed, options={})
        ...     def generate(self, split, count, generator):
        ...         tokens = torch.randint(8, (count, 5), generator=generator)
        ...         return {"tokens": tokens, "targets": tokens.clone()}
        >>> Echo().batch("train", 0, 2).inputs.shape
        torch.Size([2, 5])
    """

    metric = "accuracy"

    def encode(self, instances: Fields) -> Batch:
        """Return what was drawn; the mask hides the padding."""
        tokens = instances["tokens"]
        mask = None
        if "lengths" in instances:
            mask = torch.arange(tokens.shape[1]) < instances["lengths"][:, None]
        return Batch(tokens, instances["targets"], mask)

    def metrics(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`accuracy`, (B,)."""
        hits, scored = scored_hits(logits, targets)
        return {"accuracy": hits.sum(-1) / scored.sum(-1)}

    def sample(self, split: str, index: int) -> TokenInstance:
        """Instance `index` of `split`, to look at."""
        batch = self.batch(split, index, 1)
        shown = slice(None) if batch.mask is None else batch.mask[0]
        tokens, targets = (x[0][shown].tolist() for x in (batch.inputs, batch.targets))
        names = {token: self.word(token) for token in {*tokens, *targets}}
        return TokenInstance(tuple(tokens), tuple(targets), names)

    def word(self, token: int) -> str:
        """Return how an id is shown to people: ids with a meaning of their own have a word."""
        return str(token)


class MacroTask(TokenTask):
    """A task over tokens that counts every class alike, however often it occurs.

    Metric `macro_accuracy`: the mean over all classes that occur among the targets of a split of
    the share of their positions answered right. `accuracy` stands beside it. (A class that is
    answered but never asked for does not enter; some libraries count it as 0.)
    """

    metric = "macro_accuracy"

    def tally(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Right answers and targets of every class, each (classes,)."""
        hits, scored = scored_hits(logits, targets)
        size = self.outputs.size
        return {
            "hits": targets[hits].bincount(minlength=size),
            "targets": targets[scored].bincount(minlength=size),
        }

    def summary(self, tally: Mapping[str, Tensor]) -> dict[str, float]:
        """`macro_accuracy` of the classes that occurred."""
        occurs = tally["targets"] > 0
        shares = tally["hits"][occurs].double() / tally["targets"][occurs]
        return {"macro_accuracy": shares.mean().item()}


@dataclass(frozen=True)
class TokenInstance:
    """One sequence and its targets (`IGNORE` where nothing is scored); `names` shows the ids.

    Example:
        >>> Latch(length=6).sample("train", 0).tokens
        (1, 5, 4, 5, 3, 4)
    """

    tokens: tuple[int, ...]
    targets: tuple[int, ...]
    names: Mapping[int, str]

    def __str__(self) -> str:
        words = [self.names[token] for token in self.tokens]
        answers = ["." if target == IGNORE else self.names[target] for target in self.targets]
        width = max(map(len, (*words, *answers)))
        columns = max(1, 88 // (width + 1))
        lines = []
        for start in range(0, len(words), columns):
            for head, row in (("inputs: ", words), ("targets:", answers)):
                shown = (word.rjust(width) for word in row[start : start + columns])
                lines.append(" ".join([head, *shown]))
        return "\n".join(lines)
