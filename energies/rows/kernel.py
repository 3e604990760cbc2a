"""What weights have to offer to be computed in place, a block of scores at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

#: Numbers that one row of a block goes on with from forward to backward, each (..., L, 1).
RowNumbers = tuple[Tensor, ...]
#: What else of a block goes from `again` to `pull`.
Extra = tuple[Tensor, ...]

#: Rows shorter than this are summed faster by a product with ones.
SHORT = 48


def row_sums(x: Tensor) -> Tensor:
    """Sums over the last axis, (..., 1)."""
    if x.shape[-1] < SHORT:
        return x @ x.new_ones(x.shape[-1], 1)
    return x.sum(-1, keepdim=True)


class RowForm(NamedTuple):
    """Weights over patterns as `kernel` of the scores scale * X xi + bias.

    Attributes:
        kernel: f.
        scale: a number or broadcastable to (..., L, 1).
        bias: broadcastable to (..., L, S), or None.
        arguments: further ones of f, each a number or broadcastable to (..., L, 1).
    """

    kernel: RowKernel
    scale: Tensor | float
    bias: Tensor | None
    arguments: tuple[Tensor | float, ...]


class MixedPatterns(NamedTuple):
    """Softmax attention to mixtures of the patterns: softmax(scale * keys xi + bias) values.

    Attributes:
        keys: mixtures of the patterns, (..., Q, D).
        values: the same mixtures of what is read, (..., Q, e).
        scale: a number or broadcastable to (..., L, 1).
        bias: broadcastable to (..., L, Q), or None.
        mask: boolean, broadcastable to (..., L, Q), True = visible; None if all are.
    """

    keys: Tensor
    values: Tensor
    scale: Tensor | float
    bias: Tensor | None
    mask: Tensor | None


class RowKernel(ABC):
    """Weights y = f(z, *args) of scores z (..., L, S), each row by itself.

    Scores are finite, or -inf for hidden patterns, whose weight is 0; arguments are broadcastable
    to (..., L, 1). All tensors of a call are of one floating type of at least single precision, and
    nothing of it is differentiated: `pull` is the derivative. Where derivatives of higher order are
    wanted, or numbers may not be looked at (compiled, under transforms of `torch.func`),
    `reference` is what counts.

    Args:
        reference: the same weights in operations with derivatives of all orders.
    """

    #: Whether a score of -inf has the weight 0.
    hides: bool = True

    def __init__(self, reference: Callable[..., Tensor]) -> None:
        self.reference = reference

    def takes(self, *args: Tensor) -> bool:
        """Whether the kernel is accurate at these arguments; else `reference` runs."""
        return True

    @abstractmethod
    def forward(self, z: Tensor, *args: Tensor) -> tuple[Tensor, RowNumbers]:
        """The weights, in the place of z if need be, and what `again` wants to know of each row."""

    @abstractmethod
    def again(self, z: Tensor, numbers: RowNumbers, *args: Tensor) -> tuple[Tensor, Extra]:
        """The weights once more, and what `pull` wants to know besides; z may be overwritten."""

    @abstractmethod
    def pull(
        self, y: Tensor, extra: Extra, grad: Tensor, wanted: tuple[bool, ...], *args: Tensor
    ) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        """What `grad` at the weights is at the scores, and at each wanted argument row by row.

        All tensors but the arguments may be overwritten.

        Returns:
            (..., L, S), and (..., L, 1) for each argument, None where it is not wanted.
        """


class Elementwise(RowKernel):
    """y = f(z), one score at a time, with a derivative that is known from y alone.

    Args:
        reference: f.
        apply: f in place.
        derivative: dy f'(z) from dy and y, in the place of dy if it likes.
        hides: whether f(-inf) = 0.
    """

    def __init__(
        self,
        reference: Callable[[Tensor], Tensor],
        apply: Callable[[Tensor], Tensor],
        derivative: Callable[[Tensor, Tensor], Tensor],
        hides: bool = True,
    ) -> None:
        super().__init__(reference)
        self.hides = hides
        self._apply, self._derivative = apply, derivative

    def forward(self, z: Tensor, *args: Tensor) -> tuple[Tensor, RowNumbers]:
        """The weights, and nothing else."""
        return self._apply(z), ()

    def again(self, z: Tensor, numbers: RowNumbers, *args: Tensor) -> tuple[Tensor, Extra]:
        """The weights."""
        y = self._apply(z)
        return y, ()

    def pull(
        self, y: Tensor, extra: Extra, grad: Tensor, wanted: tuple[bool, ...], *args: Tensor
    ) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        """At the scores it is dy times the slope."""
        return self._derivative(grad, y), ()


# Named functions, as a kernel is pickled with its layer; they write in the place of dy.
def _sigmoid_slope(dy: Tensor, y: Tensor) -> Tensor:
    return torch.ops.aten.sigmoid_backward.grad_input(dy, y, grad_input=dy)  # type: ignore[no-any-return]


def _tanh_slope(dy: Tensor, y: Tensor) -> Tensor:
    return torch.ops.aten.tanh_backward.grad_input(dy, y, grad_input=dy)  # type: ignore[no-any-return]


def _relu_slope(dy: Tensor, y: Tensor) -> Tensor:
    return torch.ops.aten.threshold_backward.grad_input(dy, y, 0, grad_input=dy)  # type: ignore[no-any-return]


EXP = Elementwise(torch.exp, torch.exp_, torch.Tensor.mul_)
SIGMOID = Elementwise(torch.sigmoid, torch.sigmoid_, _sigmoid_slope)
TANH = Elementwise(torch.tanh, torch.tanh_, _tanh_slope, hides=False)
RELU = Elementwise(torch.relu, torch.relu_, _relu_slope)
