"""The contract of an energy: a scalar for every state, and what a fast update may know of it."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any, ClassVar

import torch
from torch import Tensor

from attenergy.energies.domains import DOMAINS, Domain, domain_of, guarantee_of
from attenergy.energies.masks import (
    check_alike,
    check_batch,
    check_pairs,
    check_vectors,
    clear_hidden,
    clear_states,
    hide_by_field,
    open_rows,
    spread,
)
from attenergy.energies.parameters import Parameters, Setting, Settled, checked_settings
from attenergy.energies.presence import open_to_present
from attenergy.energies.quadratic import RADIAL, quadratic_program
from attenergy.energies.rows.kernel import MixedPatterns, RowForm
from attenergy.registry import Descends, EnergySpec, ParameterError

Values = dict[str, Tensor | float]
_LARGEST = 2**63 - 1  # whole number that torch takes, as a seed for one


class Energy(Settled):
    """E(xi; X, h): one number per state, or one for all states if they interact.

    Shapes:
        xi (..., L, D) states, X (..., S, D) stored patterns, mask (..., L, S) boolean with
        True = visible, field h (..., L, S). With `num_heads` H the axis before L and S is H.
        The energy is (..., L), or (...) if `states_interact`.

    A state that sees no pattern has energy 0; energies of a batch are never averaged.
    Sub-classes implement `energy`, and may implement `weights`, `radial` and `coupling` to give
    the gradient in closed form, grad_xi E = radial * xi [- weights @ X] + coupling. What `setup`
    sets of numbers and texts is fixed from then on (`Settled`).

    Args:
        spec: the entry.
        dim: head width D.
        num_heads: H, or None for tensors without a head axis.
        settings: initial values of parameters, choices and options, by name.

    Raises:
        ValueError: an unknown setting or a value out of its range.

    Example:
        >>> attenergy.make_energy("lse", dim=4)(torch.randn(3, 4), torch.randn(5, 4)).shape
        torch.Size([3])
    """

    #: The energy as LaTeX, for classes; a formula is printed from its tree.
    latex: ClassVar[str] = ""
    #: What an entry would say (parameters, quadratic, ...), for a class that is given without one.
    entry: ClassVar[EnergySpec | Mapping[str, Any] | None] = None
    #: One joint energy for all states (they are coupled to each other).
    states_interact: ClassVar[bool] = False
    #: The stored patterns sit on a structure: their order matters.
    patterns_interact: ClassVar[bool] = False
    #: Whether stored patterns count. Else E is of the states alone, the mask (..., L, L) says which
    #: see each other, and X is a copy of them, held fixed while the gradient is taken: a joint
    #: energy ignores it, a game (not `states_interact`) reads the other states from it.
    reads_patterns: ClassVar[bool] = True
    #: Whether the option `length` is the greatest number of states; a model gives its own.
    fixed_length: ClassVar[bool] = False
    #: Whether a mask may hide single pairs. Else it says which states take part, all or none.
    hides_pairs: ClassVar[bool] = True
    #: Whether E has derivatives of all orders (no relu, no absolute value).
    smooth: bool = True
    reads_field: bool = True
    #: Whether `weights`, `radial` and `coupling` are there.
    has_weights: bool = False
    #: Whether `radial` and `coupling` are the whole gradient, without weights over patterns.
    has_coupling: bool = False
    #: Whether `attention` gives the weights as a softmax of the scores.
    is_attention: bool = False
    #: Whether that softmax reads the field as a term of its scores, and nothing else reads it.
    adds_field: bool = False
    #: Whether `row_form` gives the weights as a kernel of the scores.
    has_row_form: bool = False

    def __init__(
        self,
        spec: EnergySpec,
        dim: int,
        num_heads: int | None = None,
        settings: Mapping[str, Setting] | None = None,
    ) -> None:
        super().__init__()
        whole = all(isinstance(n, Integral) for n in (dim, 1 if num_heads is None else num_heads))
        if not whole or dim < 1 or (num_heads is not None and num_heads < 1):
            raise ParameterError(f"dim and num_heads must be at least 1, got {dim} and {num_heads}")
        domain_of(spec)
        self.spec, self.dim, self.num_heads = spec, dim, num_heads
        self.settings = checked_settings(settings, self.known_settings(spec), f"'{spec.title}'")
        self.parameters_ = Parameters(spec, dim, num_heads, self.settings)
        self._quadratic = quadratic_program(spec, dim)
        self.setup()
        self.settle()

    def setup(self) -> None:
        """Prepare what a class needs besides its parameters; called when the rest is in place."""

    def option(self, name: str, default: Setting) -> Setting:
        """An option of a class: as set, else as the entry says, else `default`."""
        declared = self.spec.options.get(name)
        return self.settings.get(name, default if declared is None else declared.default)

    def whole_option(self, name: str, least: int, most: int | None = None) -> int:
        """An option that is a whole number; `least` if neither settings nor entry name it.

        Raises:
            ValueError: it is none, or out of its range.
        """
        value = self.option(name, least)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not least <= int(value) <= (_LARGEST if most is None else most):
            allowed = f"from {least}" if most is None else f"from {least} to {most}"
            raise ParameterError(f"'{name}' must be a whole number {allowed}, got {value!r}")
        return int(value)

    @staticmethod
    def known_settings(spec: EnergySpec) -> list[str]:
        """Names that `settings` may use."""
        return [*spec.parameters, *spec.choices, *spec.options]

    def values(self) -> Values:
        """Parameters by name, in their own units."""
        return self.parameters_.values()

    @property
    def has_closed_form(self) -> bool:
        """Whether the gradient is there in closed form, with weights or without."""
        return self.has_weights or self.has_coupling

    def quadratic(self) -> Tensor | float | None:
        """A with E = 1/2 xi'A xi - v(xi), v convex (or A an upper bound); None if not known.

        A step `xi - gamma/A grad E` never raises E for gamma in (0, 2). In a domain with entropy
        (`attenergy.energies.domains`) A is the entropy's weight, and gamma lies in (0, 1].
        """
        if self._quadratic is None or isinstance(self._quadratic, float):
            return self._quadratic
        return self._quadratic(self.values())

    def curvature(
        self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None
    ) -> Tensor | float | None:
        r"""A by which a step from xi divides the gradient: `quadratic()`, or the radial factor.

        An entry says `quadratic: radial` if E = -log(c + sum_n k(|xi - x_n|^2))/beta with k convex
        and non-increasing. A step with gamma = 1 then lands on the mean m of the patterns under
        `weights`. As k lies above its tangents, E lies below a function of |z - m| that grows with
        it and meets E at z = xi; so no step with gamma in (0, 2) raises E. Where no pattern is in
        reach, the gradient and the factor are 0, and 1 is returned.

        Raises:
            ValueError: the entry says so, but the gradient has no radial factor.

        Source: Cheng 1995, doi:10.1109/34.400568 (mean shift).
        """
        if self.spec.quadratic != RADIAL:
            return self.quadratic()
        if not self.has_weights:
            raise ParameterError(
                f"'{self.spec.title}' says 'quadratic: {RADIAL}', but its gradient is not "
                "radial * xi - weights @ X"
            )
        opened = None if mask is None else self.opened(mask)[0]
        factor = torch.as_tensor(self.radial(xi, X, opened, field))
        return torch.where(factor > 0, factor, 1.0)

    def constants(self) -> tuple[object, ...]:
        """What else but parameters and buffers the energy computes with, if that can change.

        Compared by identity, to see whether what was derived from the energy is out of date.
        """
        return ()

    @property
    def domain(self) -> Domain:
        """Where states live, and what a step is there."""
        return DOMAINS[self.spec.domain]  # looked up when the energy was made

    def project(self, xi: Tensor) -> Tensor:
        """A point of the domain near `xi`; points of the domain stay."""
        return self.domain.project(xi)

    def from_real(self, x: Tensor) -> Tensor:
        """Any real vectors (..., L, D) as points of the domain."""
        return self.domain.from_real(x)

    enter = from_real  # earlier name

    @property
    def guarantee(self) -> Descends:
        """Which steps never raise the energy: `parallel`, `sequential` or `none`."""
        return guarantee_of(self.spec)

    def largest_step_size(self) -> float | None:
        """The gamma below which no step raises the energy; None if there is no such promise."""
        return None if self.guarantee == "none" else self.domain.largest_step

    def forward(
        self, xi: Tensor, X: Tensor, *, mask: Tensor | None = None, field: Tensor | None = None
    ) -> Tensor:
        """The energy, (..., L), or (...) if the states interact.

        Raises:
            ValueError: a shape or type does not fit.
        """
        mask, field = self.check(xi, X, mask, field)
        if mask is None:
            return self.energy(xi, X, None, field)
        if mask.shape[-1] == 0:
            return self._of_nothing(xi, X, mask)
        xi = clear_states(xi, mask.any(-1, keepdim=True))
        xi, X = clear_hidden(mask, xi, X if self.reads_patterns or not self.states_interact else xi)
        return self.cleared(xi, X, mask, field)

    def cleared(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """What `forward` gives, for arguments that are checked and in which nothing hidden acts."""
        if mask is None or self.states_interact:
            return self.energy(xi, X, mask, field)
        opened, occupied = self.opened(mask)
        return torch.where(occupied.squeeze(-1), self.energy(xi, X, opened, field), 0.0)

    def opened(self, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The mask as `energy`, `weights` and `radial` take it, and which rows were not empty.

        Where patterns interact, what no state sees is hidden from the opened rows too: the mask
        says which patterns are there.
        """
        if self.patterns_interact and self.reads_patterns:
            return open_to_present(mask)
        return open_rows(mask)

    def _of_nothing(self, xi: Tensor, X: Tensor, mask: Tensor) -> Tensor:
        """0 for each state, or each set of them, where there are no patterns at all."""
        heads = () if self.num_heads is None else (self.num_heads,)
        batch = [t.shape[:-2] for t in (xi, X, mask)]
        shape = torch.broadcast_shapes(*batch, heads)  # type: ignore[no-untyped-call]
        of_each = torch.where(mask.any(-1, keepdim=True), xi, 0.0).expand(*shape, *xi.shape[-2:])
        return of_each.sum((-2, -1) if self.states_interact else -1)

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The energy for checked arguments; no row of the mask is empty unless states interact."""
        raise NotImplementedError(f"{type(self).__name__} defines no energy")

    def weights(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """Weights over patterns, -dE/ds (..., L, S), for an opened mask."""
        raise NotImplementedError(f"{type(self).__name__} defines no weights")

    def radial(
        self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None
    ) -> Tensor | float:
        """The factor of xi in the gradient, a number or (..., L, 1), for an opened mask."""
        return 1.0

    def coupling(self, xi: Tensor, mask: Tensor | None) -> Tensor | None:
        """The part of the gradient that comes from other states, or None; `mask` as given."""
        return None

    def attention(
        self, X: Tensor, mask: Tensor | None, field: Tensor | None
    ) -> tuple[Tensor | float, Tensor | None] | None:
        """`(scale, bias)` if the weights are softmax(scale * X xi + bias), else None."""
        return None

    def row_form(self, X: Tensor, mask: Tensor | None, field: Tensor | None) -> RowForm | None:
        """The weights as a kernel of scale * X xi + bias, for an opened mask, or None."""
        return None

    def mixed_patterns(
        self, X: Tensor, values: Tensor, mask: Tensor | None, field: Tensor | None
    ) -> MixedPatterns | None:
        """What is read of values (..., S, e), as softmax attention to mixtures of the patterns.

        For an opened mask; None if the mixtures are not the same for all states, or none are.
        """
        return None

    def check(
        self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Check shapes and types; return mask and field with S numbers on their last axis.

        Without any pattern there is always a mask, whose rows are empty. Where a field says "never"
        (`attenergy.energies.masks.NEVER`) and a pattern would count otherwise, the mask hides it;
        a softmax that the field is added to lets it count only where the whole row says so.

        Raises:
            ValueError: naming the argument, what was got and what is allowed.
        """
        check_vectors(xi, X, self.dim, self.num_heads)
        if self.reads_patterns:
            check_alike(xi, X)
        stored = (X if self.reads_patterns else xi).shape[-2]
        check_pairs(mask, field, xi.shape[-2], stored)
        check_batch(xi, X, mask, field, self.num_heads)
        if mask is None and stored == 0:
            mask = torch.zeros(1, 0, dtype=torch.bool, device=xi.device)
        mask, field = spread(mask, stored), spread(field, stored)
        if field is not None:
            mask, field = hide_by_field(mask, field, self.adds_field)
        return mask, field

    def extra_repr(self) -> str:
        """Title and sizes, for printing."""
        return f"{self.spec.title!r}, dim={self.dim}, num_heads={self.num_heads}"
