"""Values and updates are finite numbers: at usual states, at 0, far out, and with few digits."""

from __future__ import annotations

import torch
from torch import Tensor

from attenergy.search.discovery.filters.evaluate import update_of
from attenergy.search.discovery.filters.probes import probes
from attenergy.search.discovery.filters.subject import Subject

#: Factors of the states: at all settings, and at the first.
_SCALES, _FAR = (1.0, 0.0, 4.0, -2.0, -0.3), (30.0, -30.0)


def is_finite(subject: Subject) -> str:
    """The reason why not, or nothing."""
    cases = [
        (subject.settings, _SCALES, torch.float64, "states of usual size, at the ends of a range"),
        (subject.first, _FAR, torch.float64, f"states {_FAR[0]:g} times as long"),
        (
            subject.first,
            (*_SCALES, *_FAR),
            torch.float32,
            f"float32, up to {_FAR[0]:g} times as long",
        ),
        (subject.first, _SCALES[:1], torch.bfloat16, "bfloat16"),
    ]
    for settings, scales, dtype, where in cases:
        energy, update = _at(subject, settings, scales, dtype)
        if not torch.isfinite(energy).all():
            return f"the energy is not finite ({where})"
        if not torch.isfinite(update).all():
            return f"the gradient is not finite ({where})"
    return "" if _sees_one(subject) else "the energy of a single pattern is not finite"


def _sees_one(subject: Subject) -> bool:
    """Whether the energy and its gradient are numbers for states that see one pattern each."""
    at = probes()
    count = at.X.shape[-2]
    states = torch.cat([at.xi, -at.xi], -2)
    shape = (count, len(at.X), *states.shape[1:])
    mask = torch.eye(count, dtype=torch.bool, device="cpu").reshape(count, 1, 1, count)
    values = subject.family.values(subject.first, states.expand(shape), at.X)
    results = update_of(subject.tree, values, mask.expand(*shape[:-1], count))
    return all(bool(torch.isfinite(result).all()) for result in results)


def _at(
    subject: Subject, settings: Tensor, scales: tuple[float, ...], dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    at = probes()
    states = torch.cat([scale * at.xi for scale in scales], -2).to(dtype)
    shape = (len(settings), len(at.X), *states.shape[1:])
    values = subject.family.values(settings.to(dtype), states.expand(shape), at.X.to(dtype))
    return update_of(subject.tree, values)
