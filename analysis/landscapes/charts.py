"""Where a landscape is drawn: a plane through the space of states, or a circle in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attenergy.energies import Domain
from attenergy.registry import AnalysisError

#: How far from the border of a domain states begin that were outside, as a share of its size.
_BORDER = 1e-6
#: How far a plane reaches beyond what is drawn in it, as a share of its extent.
_MARGIN = 0.25


@dataclass(frozen=True, eq=False)
class Plane:
    """Points origin + a u + b v, moved into the energy's domain where they are not in it.

    Attributes:
        domain: of the energy.
        origin: (D,).
        axes: u and v, orthonormal rows (2, D).
        low: the least a and b that are drawn, (2,).
        high: the largest.
        section: whether D is above what is drawn, so that states leave the plane.
        share: of the variance of the points that the plane was laid through, which it holds.
    """

    dimensions: ClassVar[int] = 2

    domain: Domain
    origin: Tensor
    axes: Tensor
    low: Tensor
    high: Tensor
    section: bool
    share: float = 1.0

    def states(self, coordinates: Tensor) -> Tensor:
        """Coordinates (M, 2) as states (M, D) of the domain.

        What lies outside is moved in, and off the border, where logarithms have no slope.
        """
        flat = self.origin + coordinates @ self.axes
        states = self.domain.project(flat)
        if not self.domain.constrained:
            return states
        centre = self.domain.from_real(torch.zeros_like(states[:1]))
        inner = self.domain.project((1.0 - _BORDER) * states + _BORDER * centre)
        outside = (states - flat).abs().amax(-1, keepdim=True) > _BORDER
        return torch.where(outside, inner, states)

    def coordinates(self, states: Tensor) -> Tensor:
        """Where states (M, D) stand in the plane, (M, 2): their projections."""
        return (states - self.origin) @ self.axes.mT

    def distance(self, states: Tensor) -> Tensor:
        """How far states (M, D) are from the plane, (M,)."""
        beside = states - self.origin - self.coordinates(states) @ self.axes
        lengths: Tensor = torch.linalg.vector_norm(beside, dim=-1)
        return lengths

    def inside(self, coordinates: Tensor) -> Tensor:
        """Which coordinates (M, 2) are points of the domain themselves, (M,)."""
        flat = self.origin + coordinates @ self.axes
        if not self.domain.constrained or self.section:
            return torch.ones(len(flat), dtype=torch.bool)
        span = float((self.high - self.low).max())
        return (self.domain.project(flat) - flat).abs().amax(-1) <= 1e-9 * span

    def grid(self, resolution: int) -> Tensor:
        """(resolution^2, 2) coordinates, row by row from below."""
        across, up = (
            torch.linspace(float(a), float(b), resolution, dtype=self.low.dtype)
            for a, b in zip(self.low, self.high, strict=True)
        )
        rows, columns = torch.meshgrid(up, across, indexing="ij")
        return torch.stack([columns.flatten(), rows.flatten()], -1)


@dataclass(frozen=True, eq=False)
class Circle:
    """The angle on a circle of radius sqrt(D): a sphere in two dimensions, or a cut one in three.

    Attributes:
        domain: of the energy.
        axes: orthonormal rows (2, D) that span the circle.
    """

    dimensions: ClassVar[int] = 1
    section: ClassVar[bool] = False
    share: ClassVar[float] = 1.0

    domain: Domain
    axes: Tensor

    def states(self, coordinates: Tensor) -> Tensor:
        """Angles (M, 1) as states (M, D)."""
        on_circle = torch.cat([coordinates.cos(), coordinates.sin()], -1)
        return self.domain.project(math.sqrt(self.axes.shape[-1]) * on_circle @ self.axes)

    def coordinates(self, states: Tensor) -> Tensor:
        """The angles (M, 1) of states (M, D), in [-pi, pi)."""
        a, b = (states @ self.axes.mT).unbind(-1)
        return torch.atan2(b, a).unsqueeze(-1)

    def distance(self, states: Tensor) -> Tensor:
        """0 for every state (M, D): all lie on the circle."""
        return states.new_zeros(len(states))

    def inside(self, coordinates: Tensor) -> Tensor:
        """Every angle is a point of the domain."""
        return torch.ones(len(coordinates), dtype=torch.bool)

    def grid(self, resolution: int) -> Tensor:
        """(resolution, 1) angles from -pi to pi."""
        angles = torch.linspace(-math.pi, math.pi, resolution + 1, dtype=self.axes.dtype)[:-1]
        return angles.unsqueeze(-1)


Chart = Plane | Circle


def chart_of(
    domain: Domain, patterns: Tensor, axes: Tensor | None = None, *, shown: Tensor | None = None
) -> Chart:
    """Where the landscape of an energy with these patterns is drawn.

    A circle where the domain is one; all of the domain where it has two dimensions; else the plane
    of the patterns' first two principal components, or that of `axes`.

    Args:
        domain: of the energy.
        patterns: (S, D), or other points that a section is laid through, in float64.
        axes: two directions (2, D) instead of principal components.
        shown: points (m, D) whose projections the frame has to reach; the patterns if None.

    Raises:
        ValueError: the domain has fewer dimensions, or `axes` span no plane.
    """
    dim, shown = patterns.shape[-1], patterns if shown is None else shown
    span, is_round = _extent(domain, dim)
    if len(span) - is_round < 1 or len(span) < 2:
        raise AnalysisError(
            f"states of {dim} components have too few dimensions for a landscape; patterns of "
            f"{dim + 1} components or more have one"
        )
    if is_round and len(span) == 2:
        return Circle(domain, span)
    if len(span) > 2 or axes is not None or is_round:
        return section_of(domain, patterns, shown, axes)
    centre = domain.from_real(patterns.new_zeros(1, dim))[0]
    if not domain.constrained:
        return _framed(domain, centre, span, torch.cat([shown, centre[None]]), section=False)
    unit = torch.eye(dim, dtype=patterns.dtype)
    corners = domain.from_real(60.0 * torch.cat([unit, -unit, unit.new_ones(1, dim)]))
    return _framed(domain, centre, span, corners, section=False, margin=0.03)


def section_of(domain: Domain, cloud: Tensor, shown: Tensor, axes: Tensor | None = None) -> Plane:
    """The plane through the mean of points, along their first two principal components.

    Args:
        domain: of the energy.
        cloud: the points (n, D) that the plane is laid through.
        shown: points (m, D) whose projections it has to reach.
        axes: two directions (2, D) instead of principal components.

    Raises:
        ValueError: `axes` are no two independent directions of D components.
    """
    origin = cloud.mean(0)
    centred = cloud - origin
    if axes is None:
        axes = torch.linalg.svd(centred, full_matrices=True)[2][:2]
    else:
        axes = _orthonormal(axes.to(cloud), cloud.shape[-1])
    total = float(centred.square().sum())
    share = float((centred @ axes.mT).square().sum()) / total if total else 1.0
    largest = axes.abs().argmax(-1, keepdim=True)  # the sign of a component is arbitrary
    axes = axes * axes.gather(-1, largest).sign()
    return _framed(domain, origin, axes, shown, section=True, share=share)


def extent_of(chart: Chart) -> float:
    """The length by which tolerances go: of the frame, or the radius of the circle."""
    if isinstance(chart, Circle):
        return float(chart.axes.shape[-1] ** 0.5)
    return float((chart.high - chart.low).max())


def _framed(
    domain: Domain,
    origin: Tensor,
    axes: Tensor,
    shown: Tensor,
    *,
    section: bool,
    share: float = 1.0,
    margin: float = _MARGIN,
) -> Plane:
    """A plane with a square frame that holds the projections of points."""
    flat = (shown - origin) @ axes.mT
    low, high = flat.amin(0), flat.amax(0)
    half = (float((high - low).max()) / 2 or 1.0) * (1.0 + 2 * margin)
    middle = (low + high) / 2
    return Plane(domain, origin, axes, middle - half, middle + half, section, share)


def _extent(domain: Domain, dim: int) -> tuple[Tensor, bool]:
    """Orthonormal rows (n, D) that span the domain's flat hull; whether all states are as long."""
    generator = torch.Generator().manual_seed(0)
    real = torch.randn(4 * dim + 4, dim, dtype=torch.float64, generator=generator)
    points = domain.from_real(real)
    _, sizes, directions = torch.linalg.svd(points - points.mean(0), full_matrices=False)
    lengths = points.norm(dim=-1)
    is_round = bool((lengths - lengths[0]).abs().max() < 1e-9 * lengths[0])
    span = directions[sizes > 1e-9 * sizes[0].clamp_min(1e-9)]
    q, r = torch.linalg.qr(span.mT @ span)  # the unit vectors themselves where nothing is tied
    return (q * r.diagonal().sign())[:, : len(span)].mT, is_round


def _orthonormal(axes: Tensor, dim: int) -> Tensor:
    if axes.shape != (2, dim):
        raise AnalysisError(f"axes must be (2, {dim}), got {tuple(axes.shape)}")
    q, r = torch.linalg.qr(axes.mT)
    if not bool((r.diagonal().abs() > 1e-9 * axes.norm()).all()):
        raise AnalysisError("axes must be two independent directions")
    rows: Tensor = (q * r.diagonal().sign()).mT
    return rows
