"""Where states live, and what a step is there.

A step of descent is taken in the coordinates that belong to a domain, and cannot leave it:

    real           xi - d                             all of R^D
    sphere         sqrt(D) (xi - d)/|xi - d|          |xi| = sqrt(D)
    layer_norm     LN(xi - d), without gain           mean 0 and variance 1
    magnetisation  tanh(atanh(xi) - d)                -1 < xi_i < 1, means of spins
    simplex        softmax(log(xi) - d)               xi_i > 0, sum_i xi_i = 1
    spin           sign(-d)                           xi_i = -1 or 1

with d = gamma/A grad E. For E = -v(xi) - S(xi)/beta, v convex and S the entropy of the
magnetisations or of the simplex, A = 1/beta and gamma = 1 give the mean-field equation.

On the sphere and in `layer_norm` no step of any size raises E if -E is convex: the new state is
the point of the domain that is nearest to xi - d, so it lies at least as low along grad E as xi.

A domain is one object in `DOMAINS`; whatever else depends on where states live asks that object.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from attenergy.registry import Catalogue, Descends, EnergySpec


class Domain:
    """All of R^D, and the base of every other domain, which says in what it differs.

    Attributes:
        largest_step: below this gamma a step is safe if E is a convex part in A minus a convex v.
        tied: a constraint ties the components of a state, so none of them can move alone.
        discrete: there is nothing between two points: no derivatives by a state, no damping.
        constrained: not every real vector is a point.
        rotation_invariant: a rotation maps the domain to itself.
        formula_anywhere: energies here have a value at any real vector, so a state of another
            domain may be put in; false where they take logarithms or expect signs.
        signs: vectors of -1 and 1 are points, or limits of points.
        concave_descent: an energy here promises that steps of all states at once never raise it,
            without declaring a quadratic part: its entry says that -E is convex.

    Example:
        >>> domain = DOMAINS["sphere"]
        >>> domain.project(torch.tensor([3.0, 4.0])).norm()  # states have the length sqrt(D)
        tensor(1.4142)
    """

    largest_step: ClassVar[float] = 2.0
    tied: ClassVar[bool] = False
    discrete: ClassVar[bool] = False
    constrained: ClassVar[bool] = False
    rotation_invariant: ClassVar[bool] = True
    formula_anywhere: ClassVar[bool] = True
    signs: ClassVar[bool] = True
    concave_descent: ClassVar[bool] = False

    def project(self, xi: Tensor) -> Tensor:
        """A point near the domain (..., D) to a point in it; points in it stay (to rounding)."""
        return xi

    def from_real(self, x: Tensor) -> Tensor:
        """Any real vectors (..., D) to points, smoothly where there is a smooth way."""
        return self.project(x)

    def retract(self, xi: Tensor, d: Tensor) -> Tensor:
        """The point after a step against d from the point xi, both (..., D)."""
        return self.project(xi - d)

    def project_tangent(self, xi: Tensor, v: Tensor) -> Tensor:
        """The part of v (..., D) that is tangent to the domain at xi."""
        return v


class Sphere(Domain):
    """|xi| = sqrt(D)."""

    largest_step = float("inf")
    tied = True
    constrained = True
    concave_descent = True

    def project(self, xi: Tensor) -> Tensor:
        """sqrt(D) xi/|xi|; 0 stays."""
        # The floor under the root keeps the derivative at xi = 0 finite.
        floor = torch.finfo(xi.dtype).eps
        return xi * torch.rsqrt((xi * xi).mean(-1, keepdim=True) + floor)

    def project_tangent(self, xi: Tensor, v: Tensor) -> Tensor:
        """V - xi (xi'v)/|xi|^2."""
        square = (xi * xi).sum(-1, keepdim=True)
        return v - xi * (xi * v).sum(-1, keepdim=True) / torch.where(square > 0, square, 1.0)


class LayerNorm(Sphere):
    """Mean 0 and variance 1: the sphere, cut by the plane sum_i xi_i = 0."""

    rotation_invariant = False
    concave_descent = False

    def project(self, xi: Tensor) -> Tensor:
        """(xi - mean)/sqrt(variance)."""
        return super().project(_centred(xi))

    def project_tangent(self, xi: Tensor, v: Tensor) -> Tensor:
        """Tangent to the sphere and to the plane."""
        return super().project_tangent(xi, _centred(v))


class Magnetisation(Domain):
    """-1 < xi_i < 1, means of spins."""

    largest_step = 1.0
    constrained = True
    rotation_invariant = False
    formula_anywhere = False

    def project(self, xi: Tensor) -> Tensor:
        """At distance sqrt(eps) from -1 and 1, where atanh is still finite and exact."""
        edge = 1.0 - torch.finfo(xi.dtype).eps ** 0.5
        return xi.clamp(-edge, edge)

    def from_real(self, x: Tensor) -> Tensor:
        """Tanh x."""
        return self.project(torch.tanh(x))

    def retract(self, xi: Tensor, d: Tensor) -> Tensor:
        """tanh(atanh(xi) - d)."""
        return self.project(torch.tanh(torch.atanh(self.project(xi)) - d))


class Simplex(Domain):
    """xi_i > 0 and sum_i xi_i = 1."""

    largest_step = 1.0
    tied = True
    constrained = True
    rotation_invariant = False
    formula_anywhere = False
    signs = False

    def project(self, xi: Tensor) -> Tensor:
        """Positive parts, over their sum."""
        positive = xi.clamp_min(torch.finfo(xi.dtype).eps ** 2)
        return positive / positive.sum(-1, keepdim=True)

    def from_real(self, x: Tensor) -> Tensor:
        """Softmax x."""
        return torch.softmax(x, -1)

    def retract(self, xi: Tensor, d: Tensor) -> Tensor:
        """softmax(log xi - d)."""
        return torch.softmax(torch.log(self.project(xi)) - d, -1)

    def project_tangent(self, xi: Tensor, v: Tensor) -> Tensor:
        """V - mean(v): the sum of the components stays."""
        return _centred(v)


class Spin(Domain):
    """xi_i = -1 or 1."""

    largest_step = float("inf")
    discrete = True
    constrained = True
    rotation_invariant = False
    formula_anywhere = False

    def project(self, xi: Tensor) -> Tensor:
        """1 from 0 on, else -1, with derivatives of 0: what made the states has a gradient.

        NaN stays NaN.
        """
        return torch.where(xi.isnan(), xi, torch.sign(torch.where(xi == 0, 1.0, xi)))

    def retract(self, xi: Tensor, d: Tensor) -> Tensor:
        """-sign(d); a spin without a preference stays, one with NaN is NaN."""
        turned = torch.where(d == 0, xi, -torch.sign(d))
        return torch.where(d.isnan() | xi.isnan(), math.nan, turned)


def _centred(v: Tensor) -> Tensor:
    return v - v.mean(-1, keepdim=True)


#: Every domain that an entry may name.
DOMAINS: Catalogue[Domain] = Catalogue(
    "domain",
    Domain,
    {
        "real": Domain(),
        "sphere": Sphere(),
        "layer_norm": LayerNorm(),
        "magnetisation": Magnetisation(),
        "simplex": Simplex(),
        "spin": Spin(),
    },
    instances=True,
)

register_domain = DOMAINS.register


def domain_of(spec: EnergySpec) -> Domain:
    """The domain that an entry names.

    Raises:
        UnknownName: there is none of that name, in plug-ins either.

    Example:
        >>> registry = attenergy.load_registry(plugins=False)
        >>> type(domain_of(registry.energies["lse"])).__name__
        'Domain'
    """
    return DOMAINS.lookup(spec.domain)


def guarantee_of(spec: EnergySpec) -> Descends:
    """Which steps never raise the energy: of all states at once, of one site alone, or none.

    What the entry says (`descends`); else all at once if it declares its quadratic part, or lives
    where that takes no quadratic part (`Domain.concave_descent`).

    Example:
        >>> registry = attenergy.load_registry(plugins=False)
        >>> guarantee_of(registry.energies["lse"])
        'parallel'
    """
    if spec.descends is not None:
        return spec.descends
    known = spec.quadratic is not None or domain_of(spec).concave_descent
    return "parallel" if known else "none"
