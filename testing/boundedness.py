"""Law 9: an energy that falls without bound says so."""

from __future__ import annotations

import torch

from attenergy.registry import EnergySpec
from attenergy.testing.cases import Case, build, draw, random_case, settings_of
from attenergy.testing.results import LawBroken

#: Distances from the origin at which the energy is looked at.
_FAR = (1e2, 1e3, 1e4, 1e5)
_DIRECTIONS = 8


def bounded(spec: EnergySpec) -> tuple[float, float, str] | str:
    """9: far from the origin the energy does not fall on and on.

    Looked at along random directions, at the search range's ends of every scalar. An entry that
    falls without bound passes no more than a warning; if it promises that steps descend, they run
    away, and its `doc` must say "unbounded".
    """
    from attenergy.testing.descent import scalar_sweep  # it imports what imports this

    if spec.domain != "real":
        return 0.0, 0.0, f"the domain '{spec.domain}' is bounded"
    for settings in [*settings_of(spec), *scalar_sweep(spec)]:
        if not _falls(random_case(build(spec, **settings))):
            continue
        shown = ", ".join(f"{name} {value}" for name, value in settings.items())
        what = "WARNING: the energy falls without bound" + (f" at {shown}" if shown else "")
        if spec.guarantee != "none" and "unbounded" not in spec.doc.lower():
            raise LawBroken(
                f"{what}, and the entry promises that steps descend; let its doc say 'unbounded'"
            )
        return f"{what}; states may run away"
    return 0.0, 0.0, "the energy far from the origin"


def _falls(case: Case) -> bool:
    """Whether the energy falls at least linearly to the last distance, in some direction."""
    shape = (_DIRECTIONS, *case.xi.shape[1:])
    towards = case.X[:1].mean(-2, keepdim=True).expand(1, *case.xi.shape[1:])
    along = torch.cat([draw(61, *shape), towards, -towards])
    X = case.X[:1].expand(len(along), *case.X.shape[1:])
    if not case.energy.reads_patterns:
        return False
    with torch.no_grad():
        path = torch.stack([case.energy(far * along, X) for far in _FAR])
    fall = path[:-1] - path[1:]
    least = torch.tensor(_FAR[:-1], dtype=path.dtype).reshape(-1, *(1,) * (path.ndim - 1))
    steady = (fall > 0.01 * least) | (path[1:] == -torch.inf) | path[1:].isnan()
    return bool(steady.all(0).any())
