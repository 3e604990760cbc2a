"""Law 9 in milliseconds: far from the origin the energy does not fall on and on."""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.search.discovery.filters.evaluate import energy_of, update_of
from attenergy.search.discovery.filters.probes import DIM, probes
from attenergy.search.discovery.filters.subject import Subject
from attenergy.testing.boundedness import FAR, falls_on

_DIRECTIONS, _TURNS = 12, 3


def is_bounded(subject: Subject) -> str:
    """The reason why states run away, or nothing.

    Along random directions, along patterns, and down the energy from each, at every setting.
    """
    X, settings = _patterns(probes().X), subject.settings
    along = _directions(subject, X, settings)
    distances = torch.tensor(FAR, dtype=torch.float64, device="cpu")
    path = (distances[:, None, None] * along[..., None, :, :]).flatten(-3, -2)
    energies = energy_of(subject.tree, subject.family.values(settings, path, X))
    energies = energies.reshape(*along.shape[:2], len(FAR), -1).movedim(-2, 0)
    falling = falls_on(energies).any(-1).any(-1)
    if not falling.any():
        return ""
    values = settings[int(falling.to(torch.int8).argmax())].exp().tolist()
    shown = [f"{n} {v:.3g}" for n, v in zip(subject.family.positive, values, strict=True)]
    return "the energy falls without bound" + (f" at {', '.join(shown)}" if shown else "")


def _patterns(X: Tensor) -> Tensor:
    """Patterns as they are, longer ones, and some that all lie on one side: a layer learns them."""
    first, second, third = X
    return torch.stack([first, second, 3.0 * third, second.abs(), -first.abs()])


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
