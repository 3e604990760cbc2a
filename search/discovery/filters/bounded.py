"""Law 9 in milliseconds: far from the origin the energy does not fall on and on."""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.search.discovery.filters.evaluate import energy_of, update_of
from attenergy.search.discovery.filters.probes import DIM, probes
from attenergy.search.discovery.filters.subject import Subject
from attenergy.testing.boundedness import FAR, falls_on

_DIRECTIONS, _TURNS = 12, 3
#: Distances before those of the law: what overflows far out is judged by the last that are finite.
_NEAR = tuple(10.0 ** (step / 4) for step in range(12))
_LAST = 5
#: A layer may learn longer patterns than it begins with.
_LENGTHS = (1.0, 1.0, 3.0)


def is_bounded(subject: Subject) -> str:
    """The reason why states run away, or nothing.

    Along random directions, along patterns, and down the energy from each, at every setting.
    """
    lengths = torch.tensor(_LENGTHS, dtype=torch.float64, device="cpu")[:, None, None]
    X, settings = probes().X * lengths, subject.settings
    along = _directions(subject, X, settings)
    energies = _along(subject, along, X, FAR)
    falling = (falls_on(energies) & torch.isfinite(energies[-1])).any(-1).any(-1)
    if not torch.isfinite(energies[-1]).all():
        near = _along(subject, along[:, :-1], X[:-1], _NEAR)
        falling |= _falls_before_overflow(torch.cat([near, energies[:, :, :-1]])).any(-1).any(-1)
    if not falling.any():
        return ""
    values = settings[int(falling.to(torch.int8).argmax())].exp().tolist()
    shown = [f"{n} {v:.3g}" for n, v in zip(subject.family.positive, values, strict=True)]
    return "the energy falls without bound" + (f" at {', '.join(shown)}" if shown else "")


def _along(subject: Subject, along: Tensor, X: Tensor, far: tuple[float, ...]) -> Tensor:
    """Energies (distances, P, B, directions) at some distances along directions (P, B, ..., D)."""
    distances = torch.tensor(far, dtype=torch.float64, device="cpu")
    path = (distances[:, None, None] * along[..., None, :, :]).flatten(-3, -2)
    energies = energy_of(subject.tree, subject.family.values(subject.settings, path, X))
    return energies.reshape(*along.shape[:2], len(far), -1).movedim(-2, 0)


def _falls_before_overflow(energies: Tensor) -> Tensor:
    """Where energies (distances, ...) that are not finite far out fall on up to there.

    Not for long patterns, whose own range would lie beyond.
    """
    count = torch.isfinite(energies).to(torch.int64).cumprod(0).sum(0)
    last = (count - _LAST).clamp_min(0) + torch.arange(_LAST).reshape(-1, *[1] * count.ndim)
    window = energies.gather(0, last.clamp_max(len(energies) - 1))
    short = (count >= _LAST) & (count < len(energies))
    return falls_on(window) & short


def _directions(subject: Subject, X: Tensor, settings: Tensor) -> Tensor:
    """Unit vectors (P, B, directions, D)."""
    generator = torch.Generator("cpu").manual_seed(9)
    drawn = torch.randn(_DIRECTIONS, DIM, generator=generator, dtype=X.dtype, device="cpu")
    own = torch.cat([X, X.mean(-2, keepdim=True)], -2)
    along = torch.cat([drawn.expand(len(X), -1, -1), own, -own], -2)
    along = _unit(along).expand(len(settings), -1, -1, -1)
    turned = along
    for turn in range(_TURNS):
        values = subject.family.values(settings, FAR[0] * turned, X)
        downhill = update_of(subject.tree, values)[1].nan_to_num(0.0, 0.0, 0.0)
        tangent = downhill - (downhill * turned).sum(-1, keepdim=True) * turned
        turned = _unit(turned + 0.6**turn * _unit(tangent))
    return torch.cat([along, turned], -2)


def _unit(vectors: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / length.clamp_min(1e-30)
