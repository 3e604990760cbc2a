"""A map's Jacobian by its products with vectors, for many states at once.

One forward pass serves all products: J'w is a backward pass, and J v the derivative of u -> J'u,
which is linear, along v.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class LinearMap:
    """The Jacobian J of y = f(x) at x.

    Args:
        f: the map; its double backward pass has to exist.
        x: where; no gradient reaches it.
    """

    def __init__(self, f: Callable[[Tensor], Tensor], x: Tensor) -> None:
        with torch.enable_grad():
            self._x = x.detach().clone().requires_grad_()
            self._y = f(self._x)
            self._u = torch.zeros_like(self._y, requires_grad=True)
            back = self._back(self._u, create_graph=True)
        self._back_of_u = back

    def times(self, v: Tensor) -> Tensor:
        """J v."""
        if not self._back_of_u.requires_grad:  # f does not depend on x
            return torch.zeros_like(self._y)
        (product,) = torch.autograd.grad(
            self._back_of_u, self._u, v, retain_graph=True, allow_unused=True
        )
        return torch.zeros_like(self._y) if product is None else product

    def transposed_times(self, w: Tensor) -> Tensor:
        """J'w."""
        return self._back(w, create_graph=False)

    def _back(self, w: Tensor, *, create_graph: bool) -> Tensor:
        if not self._y.requires_grad:
            return torch.zeros_like(self._x)
        (product,) = torch.autograd.grad(
            self._y, self._x, w, retain_graph=True, create_graph=create_graph, allow_unused=True
        )
        return torch.zeros_like(self._x) if product is None else product


def asymmetry(
    jacobian: LinearMap,
    like: Tensor,
    generator: torch.Generator,
    *,
    probes: int,
    axes: tuple[int, ...],
) -> Tensor:
    """|J - J'| / |J| in the Frobenius norm, estimated with random vectors; 0 where J is 0.

    E|(J - J') v|^2 = |J - J'|^2 for v of independent numbers with mean 0 and variance 1, and the
    same for J: the estimate is exact where J is symmetric, and its relative error falls with the
    root of probes and of the numbers that the axes hold.

    Args:
        jacobian: of a map that keeps the shape.
        like: a tensor of that shape.
        generator: of the vectors.
        probes: how many.
        axes: over which squares are summed; the result has the others.
    """
    difference = size = torch.zeros((), dtype=like.dtype, device=like.device)
    for _ in range(probes):
        v = random_signs(like, generator)
        forward = jacobian.times(v)
        difference = difference + (forward - jacobian.transposed_times(v)).square().sum(axes)
        size = size + forward.square().sum(axes)
    return torch.where(size > 0, (difference / size.clamp_min(1e-300)).sqrt(), 0.0)


def spectral_norm(
    jacobian: LinearMap,
    like: Tensor,
    generator: torch.Generator,
    *,
    steps: int,
    axes: tuple[int, ...],
) -> Tensor:
    """The largest singular value of each block of J, from below, by power iteration on J'J.

    Args:
        jacobian: of a map in which samples do not act on each other.
        like: a tensor of its states' shape.
        generator: of the vectors to start from.
        steps: iterations.
        axes: those of one sample; the result has the others.
    """
    v = random_signs(like, generator)
    norm = torch.zeros((), dtype=like.dtype, device=like.device)
    for _ in range(steps):
        length = torch.linalg.vector_norm(v, dim=axes, keepdim=True)
        v = torch.where(length > 0, v / length.clamp_min(1e-30), 0.0)
        forward = jacobian.times(v)
        norm = torch.linalg.vector_norm(forward, dim=axes)
        v = jacobian.transposed_times(forward)
    return norm


def random_signs(like: Tensor, generator: torch.Generator) -> Tensor:
    """Independent +-1, drawn on the CPU."""
    bits = torch.randint(0, 2, like.shape, generator=generator)
    return (2 * bits - 1).to(like)
