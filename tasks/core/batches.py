"""What a model reads and answers, and what is known of its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor


@dataclass(frozen=True)
class Inputs:
    """What a model reads.

    `vector`: float tokens of width `size`, tensor (B, L, size). `token`: int64 ids below `size`,
    tensor (B, L), or (B, L, channels) where a token is several ids. `memory`: patterns and a
    corrupted one, tensor (B, L, size), the last of the L to be restored without any training: of
    +-1 where the answer is one of two classes, and any numbers where it is a number.

    `length` is the largest L of any split: a model must be made for it.

    Example:
        >>> make_task("latch").inputs
        Inputs(kind='token', size=6, length=20, channels=1)
    """

    kind: Literal["vector", "token", "memory"]
    size: int
    length: int
    channels: int = 1


@dataclass(frozen=True)
class Outputs:
    """What a model answers at every position, (B, L, size).

    `class`: logits over `size` classes. `number`: `size` numbers. Where the inputs are a `memory`,
    a position is a component of the pattern.

    Example:
        >>> make_task("latch").outputs
        Outputs(size=2, kind='class')
    """

    size: int
    kind: Literal["class", "number"] = "class"


@dataclass(frozen=True)
class Batch:
    """Inputs as `Inputs` says, what may be seen, and what is to be answered.

    targets: int64 (B, L), `IGNORE` where not scored; for numbers float (B, L, size), NaN there.
    mask: bool, None where all is visible. (B, L): False at padding. (B, L, L): True where a
        position may see another (the edges of a graph).

    Example:
        >>> batch = make_task("latch").batch("train", 0, 4)
        >>> batch.inputs.shape, batch.targets.shape
        (torch.Size([4, 20]), torch.Size([4, 20]))
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor | None = None


@dataclass(frozen=True)
class Estimate:
    """A mean over `instances` with its standard error; both are 0 where the value is proven.

    Example:
        >>> round(make_task("raven-small").ceiling("valid").value, 2)
        0.99
    """

    value: float
    error: float
    instances: int

    @classmethod
    def of(cls, values: Tensor) -> Estimate:
        """Mean and standard error of per-instance values (N,), N >= 2."""
        count = len(values)
        error = values.double().std().item() / count**0.5
        return cls(values.double().mean().item(), error, count)
