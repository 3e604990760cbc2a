"""Retrieval of a stored pattern from a corrupted one by a layer that was never trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attenergy.attention.modules.arguments import check_size
from attenergy.registry import RecallError


class Retrieval(nn.Module):
    """xi <- sign(layer(xi, X)), `steps` times, with every projection of the layer the identity.

    Without `signs` xi <- layer(xi, X), for patterns of any numbers.

    With read weights w this is xi <- sign(X' w(sqrt(D) X xi)), where w is softmax for a
    log-sum-exp energy of beta 1/sqrt(D) or softmax attention: the scale of the queries undoes it,
    so that scores are X xi and beta is 1. An energy whose state is read gets its states unscaled.
    A component that comes out as exactly 0 keeps its sign.

    Args:
        layer: one head of width D, embed_dim D, with `projections`; its parameters are overwritten
            where they project, and nothing in the model takes a gradient.
        steps: number of updates.
        signs: whether the patterns are of +-1, so that a sign is taken after every update.

    Raises:
        ValueError: the layer has no projections, or its width, head or values are not all D.

    Source: the retrieval experiment of Hopfield 1982 and Ramsauer et al. 2020, arXiv:2008.02217.
    """

    def __init__(self, layer: nn.Module, steps: int, *, signs: bool = True) -> None:
        super().__init__()
        check_size("steps", steps)
        self.layer, self.steps, self.signs = layer, steps, signs
        _make_plain(layer)
        self.requires_grad_(False)

    def forward(self, inputs: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """Return logits (B, D, 2), of -1 and of +1 for every component of the restored pattern.

        Without `signs` the components themselves, (B, D, 1).

        Args:
            inputs: (B, L, D); the last row is the corrupted pattern, the others are stored.
            mask: (B, L), True at rows that are there; None for all.
        """
        X, xi = inputs[:, :-1], inputs[:, -1:]
        seen = None if mask is None else mask[:, None, None, :-1]
        out = xi
        for _ in range(self.steps):
            out = self.layer(xi, X, mask=seen)
            xi = torch.where(out == 0, xi, out.sign()) if self.signs else out
        if not self.signs:
            return out.mT
        # A tie was decided by the sign before it, and the logits must say so too.
        out = xi * out.abs().clamp(min=torch.finfo(out.dtype).tiny)
        return torch.stack([-out, out], dim=-1)[:, 0]


@torch.no_grad()
def _make_plain(layer: nn.Module) -> None:
    """Turn the layer's projections into identities."""
    projections = getattr(layer, "projections", None)
    if projections is None:
        raise RecallError(f"{type(layer).__name__} has no projections that could be left out")
    maps = {name: getattr(projections, name, None) for name in ("query", "key", "value", "out")}
    sizes = {name: tuple(m.weight.shape) for name, m in maps.items() if m is not None}
    if any(shape != (max(s), max(s)) for shape in sizes.values() for s in sizes.values()):
        raise RecallError(
            f"retrieval needs one head of the patterns' width; the projections are {sizes}"
        )
    for name, linear in maps.items():
        if linear is None:
            continue
        nn.init.eye_(linear.weight)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)
        if name == "query" and maps["value"] is not None:  # weights are read
            linear.weight.mul_(linear.weight.shape[0] ** 0.5)
