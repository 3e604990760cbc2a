r"""What a family of updates is, whatever its parameters are called and however they enter.

Fixed reference fields r are projected onto the family: of all settings, the one whose update u has
the largest cosine with r is taken,

    theta_r = argmax_theta <u_theta, r>/(|u_theta| |r|),

and the unit vector u/|u| there is read off. That depends on the set of updates alone, up to their
positive scale, so neither another name, nor 2*kappa in place of beta, nor two parameters that only
occur as a product change it. One family may hold another (entmax holds softmax as a limit); a few
references that differ tell them apart.

Not told apart: families that agree at all projections, and what only shows beyond settings of
1e-3 to 1e3. Where two settings are nearly equally near a reference (a second parameter of sparse
weights, as in normmax, does that), which one is taken depends on how the energy is written, and
equal energies may get two fingerprints: one is then met twice. Different ones never get the same.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from attenergy.search.discovery.filters.families import SPAN, Family, directions, grid
from attenergy.search.discovery.filters.probes import Probes, probes

#: Values of each parameter in the first look, by the number of parameters.
_COUNTS = {0: 1, 1: 43, 2: 25, 3: 11}
#: How many of the highest maxima of that look are climbed, for each reference.
_STARTS = {1: 2, 2: 3, 3: 2}
_ROUNDS = 24
#: Least and largest half width of a stencil; a direction that is flatter than the last is flat.
_FINEST, _WIDEST, _FLAT = 1e-3, 1.5, 1e-13


@cache
def references() -> Tensor:
    """Unit fields (R, numbers): what some plausible updates do at the probes."""
    xi, X = probes().xi, probes().X
    scores = xi @ X.mT
    nearest = torch.nn.functional.one_hot(scores.argmax(-1), X.shape[-2]).to(X)
    fields = [
        torch.softmax(2.0 * scores, -1) @ X - xi,
        0.3 * scores.relu().square() @ X - xi,
        torch.softmax(-torch.cdist(xi.expand(len(X), -1, -1), X), -1) @ X - 0.5 * xi,
        (nearest + 0.5 * scores.sigmoid()) @ X - xi * xi.square().sum(-1, keepdim=True),
        scores.tanh() @ X - 1.5 * xi,
    ]
    flat = torch.stack([field.flatten() for field in fields])
    length: Tensor = torch.linalg.vector_norm(flat, dim=-1, keepdim=True)
    return flat / length


def project(family: Family, at: Probes | None = None) -> tuple[Tensor, Tensor] | None:
    """The settings (R, freedom) and the unit updates (R, numbers) nearest to the references.

    None if the family has no finite update that is not 0.
    """
    at = probes() if at is None else at
    aims, freedom = references(), family.freedom
    settings = grid(_COUNTS[freedom], freedom)
    fields = directions(family, settings, at)
    cosines = (fields @ aims.T).nan_to_num(-2.0)
    if float(cosines.max()) < -1.5:
        return None
    # Of settings that are equally good, as where two parameters act as their product, a middle one.
    cosines = cosines - 1e-7 * settings.square().sum(-1, keepdim=True)
    if not freedom:
        return settings.expand(len(aims), 0), fields.expand(len(aims), -1)
    starts = _tops(cosines, freedom)  # (starts, R)
    wanted = aims.repeat(len(starts), 1)
    search = _Search(family, at, wanted, settings[starts.flatten()])
    for _ in range(_ROUNDS):
        if not search.improve():
            break
    best = search.best.reshape(starts.shape).argmax(0)
    chosen = search.settings.reshape(*starts.shape, freedom)[best, torch.arange(len(aims))]
    return chosen, directions(family, chosen, at)


def _tops(cosines: Tensor, freedom: int) -> Tensor:
    """The highest local maxima (starts, R) among cosines (count^freedom, R) on a grid."""
    count = _COUNTS[freedom]
    on_grid = cosines.T.reshape(-1, 1, *[count] * freedom)
    pool = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[freedom - 1]
    is_top = (pool(on_grid, 3, stride=1, padding=1) == on_grid).flatten(1)
    return torch.where(is_top, cosines.T, -3.0).topk(_STARTS[freedom], dim=-1).indices.T


class _Search:
    """Newton's method on stencils, for all references at once; the best point so far stays."""

    def __init__(self, family: Family, at: Probes, aims: Tensor, starts: Tensor) -> None:
        self.family, self.at, self.aims = family, at, aims
        self.centre = self.settings = starts
        self.best = torch.full_like(starts[:, 0], -2.0)
        freedom = starts.shape[1]
        self.width = torch.full_like(starts[:, :1], 2 * SPAN / (_COUNTS[freedom] - 1))
        self.stencil = torch.tensor(list(product((-1.0, 0.0, 1.0), repeat=freedom))).to(starts)
        self.pairs = [(i, j) for i in range(freedom) for j in range(i, freedom)]
        quadratic = [self.stencil[:, i] * self.stencil[:, j] for i, j in self.pairs]
        ones = torch.ones(len(self.stencil), 1).to(starts)
        self.fit = torch.linalg.pinv(torch.cat([ones, self.stencil, torch.stack(quadratic, 1)], 1))

    def improve(self) -> bool:
        """Look around the centres, and go to the top of a paraboloid; whether that went far."""
        room = SPAN - self.width  # no point of the stencil may lie outside
        self.centre = torch.maximum(torch.minimum(self.centre, room), -room)
        points = self.centre[:, None] + self.width[..., None] * self.stencil
        fields = directions(self.family, points.flatten(0, 1), self.at)
        fields = fields.reshape(*points.shape[:2], -1)
        cosines = (fields @ self.aims[..., None]).squeeze(-1).nan_to_num(-2.0)
        here = cosines[:, len(self.stencil) // 2]
        worse = (here < self.best - 1e-12)[:, None]
        top, index = cosines.max(1)
        better = top > self.best
        chosen = points[torch.arange(len(points)), index]
        self.settings = torch.where(better[:, None], chosen, self.settings)
        self.best = torch.where(better, top, self.best)
        step = torch.where(worse, 0.0, self._newton(cosines))
        inside = step.abs().amax(-1, keepdim=True) < 1
        moved = self.width * step
        self.centre = torch.where(worse, self.settings, self.centre + moved)
        self.width = (self.width * torch.where(inside, 0.4, 1.6)).clamp(_FINEST, _WIDEST)
        return bool((worse | ~inside | (moved.abs() > 1e-6)).any())

    def _newton(self, cosines: Tensor) -> Tensor:
        """Steps (R, freedom), in widths: to the top along what bends down, else uphill."""
        coefficients = cosines @ self.fit.T
        freedom = self.stencil.shape[1]
        slope, bends = coefficients[:, 1 : 1 + freedom], coefficients[:, 1 + freedom :]
        hessian = slope.new_zeros(len(slope), freedom, freedom)
        for column, (i, j) in enumerate(self.pairs):
            hessian[:, i, j] += bends[:, column]
            hessian[:, j, i] += bends[:, column]
        values, axes = torch.linalg.eigh(hessian)
        along = (slope[:, None] @ axes).squeeze(1)
        down = values < -_FLAT
        steps = torch.where(down, -along / torch.where(down, values, -1.0), 2.0 * along.sign())
        steps = torch.where(along.abs() < _FLAT, 0.0, steps).clamp(-2.0, 2.0)
        combined: Tensor = (axes @ steps[..., None]).squeeze(-1)
        return combined
