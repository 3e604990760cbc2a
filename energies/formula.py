"""Energies that a formula defines."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from attenergy.energies.base import Energy
from attenergy.energies.language import (
    FIELD,
    PATTERNS,
    XI,
    Axes,
    Call,
    Expr,
    FormulaError,
    Number,
    Symbol,
    is_smooth,
    parse,
    remembered,
    simplify,
)
from attenergy.energies.masks import open_rows
from attenergy.energies.names import name_errors
from attenergy.energies.parameters import Setting, initial_value
from attenergy.energies.programs import Pair, Plan, make_plan
from attenergy.energies.rows.kernel import Elementwise, MixedPatterns, RowForm
from attenergy.registry import ArgumentError, EnergySpec, nearest

#: How often, and by what share, points are moved where a derivative seems wrong.
_NUDGES, _SMALL = 16, 1e-12

_INPUTS: dict[str, Expr] = {"xi": XI, "X": PATTERNS, "h": FIELD}


class FormulaEnergy(Energy):
    """E(xi; X, h) as the entry's formula says.

    The formula is compiled to batched tensor code. If it reads xi only through |xi|^2 and
    s = X @ xi, the derivative is taken once, symbolically, and `weights` and `radial` are compiled
    too. Arguments as for `Energy`.

    Raises:
        FormulaError: the formula, a choice or a parameter's name is wrong.

    Example:
        >>> energy = attenergy.make_energy("0.5*|xi|^2 - lse(X @ xi)", dim=4)
        >>> isinstance(energy, FormulaEnergy)
        True
    """

    def setup(self) -> None:
        """Compile the formula with and without a field, and check its derivative."""
        self.tree = formula_tree(self.spec, self.dim, self.settings)
        self.smooth = is_smooth(self.tree)
        self.reads_field = "h" in self.tree.names
        self._plans = {with_field: make_plan(self.tree, with_field) for with_field in (False, True)}
        self.has_weights = self._plans[True].weights is not None
        self.is_attention = all(plan.scale is not None for plan in self._plans.values())
        self.adds_field = self.is_attention and self._plans[True].adds_field
        self.has_row_form = self.has_weights and all(p.rows for p in self._plans.values())
        if self.has_weights and not _derivative_holds(self.tree, self.dim):
            warnings.warn(
                f"the derivative of '{self.spec.title}' is not autograd's; autograd is used",
                RuntimeWarning,
                stacklevel=2,
            )
            self.has_weights = self.is_attention = self.has_row_form = self.adds_field = False
        opens = any(plan.energy[1].opens for plan in self._plans.values())
        self._opens = opens and not self.is_attention

    def opened(self, mask: Tensor) -> tuple[Tensor, Tensor]:
        """As `open_rows`, but closed where the formula's programs open rows themselves."""
        return (mask, mask.any(-1, keepdim=True)) if self._opens else open_rows(mask)

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The formula's value, (..., L)."""
        return self._run(self._plans[field is not None].energy, xi, X, mask, field)

    def weights(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """-dR/ds at s = X xi, (..., L, S); hidden patterns have exactly 0."""
        pair = self._plans[field is not None].weights
        assert pair is not None
        scores = xi @ X.mT
        value = self._run(pair, xi, X, mask, field, scores)
        weights = value if isinstance(value, Tensor) else scores.new_full((), value)
        if weights.shape != scores.shape:
            weights = weights + torch.zeros_like(scores)
        return weights if mask is None else torch.where(mask, weights, 0.0)

    def radial(
        self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None
    ) -> Tensor | float:
        """2 dR/dq at q = |xi|^2, a number or (..., L, 1)."""
        pair = self._plans[field is not None].radial
        assert pair is not None
        if isinstance(pair, float):
            return pair
        return self._run(pair, xi, X, mask, field, xi @ X.mT)

    def attention(
        self, X: Tensor, mask: Tensor | None, field: Tensor | None
    ) -> tuple[Tensor | float, Tensor | None] | None:
        """`(scale, bias)` if the weights are softmax(scale * X xi + bias), else None."""
        plan = self._plans[field is not None]
        if plan.scale is None:
            return None
        bias = None if plan.bias is None else self._run(plan.bias, None, X, mask, field)
        if isinstance(plan.scale, float):
            return plan.scale, bias
        return self._run(plan.scale, None, X, mask, field), bias

    def mixed_patterns(
        self, X: Tensor, values: Tensor, mask: Tensor | None, field: Tensor | None
    ) -> MixedPatterns | None:
        """The patterns and one at the origin that is always visible, for softmax with a sink."""
        sink = self._plans[field is not None].sink
        if sink is None or self._opens:
            return None
        scale, bias = sink
        added = None if bias is None else self._run(bias, None, X, mask, field)
        if added is not None:
            added = pad(added.expand(*added.shape[:-1], X.shape[-2]), (0, 1))
        return MixedPatterns(
            pad(X, (0, 0, 0, 1)),
            pad(values, (0, 0, 0, 1)),
            scale if isinstance(scale, float) else self._run(scale, None, X, mask, field),
            added,
            None if mask is None else pad(mask, (0, 1), value=True),
        )

    def row_form(self, X: Tensor, mask: Tensor | None, field: Tensor | None) -> RowForm | None:
        """The weights as a kernel of scale * X xi + bias, if the formula's have that form."""
        rows = self._plans[field is not None].rows
        if rows is None:
            return None
        if self._opens and mask is not None and not isinstance(rows.kernel, Elementwise):
            return None  # a kernel of whole rows needs opened ones

        def value(pair: Pair | float) -> Tensor | float:
            return pair if isinstance(pair, float) else self._run(pair, None, X, mask, field)

        bias = None if rows.bias is None else self._run(rows.bias, None, X, mask, field)
        return RowForm(rows.kernel, value(rows.scale), bias, tuple(map(value, rows.arguments)))

    def _run(
        self,
        pair: Pair,
        xi: Tensor | None,
        X: Tensor,
        mask: Tensor | None,
        field: Tensor | None,
        scores: Tensor | None = None,
    ) -> Tensor:
        program = pair[int(mask is not None)]
        if mask is not None and self._opens and not program.opens:
            mask = open_rows(mask)[0]
        inputs: dict[str, object] = {"xi": xi, "X": X, "mask": mask, "h": field, **self.values()}
        if "h" in program.names and field is None:
            inputs["h"] = X.new_zeros(1, X.shape[-2])
        if "s" in program.names:
            inputs["s"] = scores
        if "q" in program.names and xi is not None:
            inputs["q"] = (xi * xi).sum(-1, keepdim=True)
        return program(inputs)


def formula_tree(
    spec: EnergySpec, dim: int | None = None, settings: Mapping[str, Setting] | None = None
) -> Expr:
    """The typed tree of an entry's formula, checked to be an energy.

    Args:
        spec: an entry with a formula.
        dim: head width D; with it, parameters that are not learnable become numbers.
        settings: choices and initial values by name.

    Raises:
        FormulaError: the formula is no energy, or a choice or a name does not fit.

    Example:
        >>> registry = attenergy.load_registry(plugins=False)
        >>> print(formula_tree(registry.energies["lse"]))
        0.5*|xi|^2 - lse((beta*X) @ xi + h)/beta
    """
    assert spec.formula is not None
    for error in name_errors(spec):
        raise error
    settings = settings or {}
    symbols = {**_INPUTS, **_parameter_symbols(spec, dim, settings)}
    macros = {
        name: partial(_choice, spec, name, _chosen(name, spec, settings), symbols)
        for name in spec.choices
    }
    tree = parse(spec.formula, symbols, macros)
    if tree.axes:
        shown = f"[{', '.join(tree.axes)}]"
        raise FormulaError(
            f"an energy must be a scalar, this formula gives {shown}",
            spec.formula,
            0,
            topic="formula-scalar",
        )
    if "xi" not in simplify(tree).names:
        raise FormulaError(
            "an energy must depend on xi, this formula does not",
            spec.formula,
            0,
            topic="formula-scalar",
        )
    return tree


def _chosen(name: str, spec: EnergySpec, settings: Mapping[str, Setting]) -> str:
    choice = spec.choices[name]
    chosen = str(settings.get(name, choice.default))
    if chosen not in choice.options:
        hint = nearest(chosen, choice.options)
        known = ", ".join(choice.options)
        raise ArgumentError(
            f"'{name}' cannot be {chosen!r}{f' ({hint})' if hint else ''}; options: {known}",
            topic="unknown-name",
        )
    return chosen


def _choice(
    spec: EnergySpec, name: str, option: str, symbols: Mapping[str, Expr], value: Expr
) -> Expr:
    choice = spec.choices[name]
    text = choice.options[option]
    try:
        return parse(text, {**symbols, choice.argument: value})
    except FormulaError as error:
        path = ("choices", name, "options", option)
        raise FormulaError(error.message, text, error.offset, path, error.topic) from None


def _parameter_symbols(
    spec: EnergySpec, dim: int | None, settings: Mapping[str, Setting]
) -> dict[str, Expr]:
    symbols: dict[str, Expr] = {}
    for name, parameter in spec.parameters.items():
        if parameter.learnable == "no" and not parameter.shape and dim is not None:
            symbols[name] = Number(initial_value(name, parameter, dim, settings.get(name)))
        else:
            axes: Axes = tuple(parameter.shape)
            positive = parameter.constraint in ("positive", "unit") and not axes
            symbols[name] = Symbol(axes, name=name, positive=positive)
    return symbols


@remembered(256)
def _derivative_holds(tree: Expr, dim: int) -> bool:
    """Whether radial * xi - weights @ X is autograd's gradient, at random points in float64."""
    with torch.device("cpu"):  # by default, tensors may go where they have no values
        return _gradients_agree(tree, dim)


def _gradients_agree(tree: Expr, dim: int) -> bool:
    """Whether they agree for every state, there or right beside.

    At a jump, as of sign(sparsemax(w)) where w sums to 1, rounding decides what either of them is.
    A derivative that is wrong is so beside it too.
    """
    plan = make_plan(tree, True)
    generator = torch.Generator().manual_seed(0)
    draw = partial(torch.randn, generator=generator, dtype=torch.float64)
    xi, X, field = draw(3, dim), draw(5, dim), draw(3, 5)
    mask = torch.ones(3, 5, dtype=torch.bool).triu(-1)
    values = {"h": field, "mask": mask}
    for name in sorted(tree.names - set(_INPUTS)):
        axes = _axes_of(tree, name)
        values[name] = draw((1, dim) if len(axes) == 1 else (dim,) * len(axes)).abs() + 0.5

    wrong = torch.ones(3, dtype=torch.bool)
    for nudge in (0.0, *[_SMALL] * _NUDGES):
        near = {"xi": xi * (1 + nudge * draw(3, dim)), "X": X * (1 + nudge * draw(5, dim))}
        wrong &= _gradients_differ(plan, {**values, **near})
        if not wrong.any():
            return True
    return False


def _gradients_differ(plan: Plan, values: Mapping[str, Tensor]) -> Tensor:
    """(3,), whether they differ for a state; False where the formula has no finite one."""
    xi, X, mask = values["xi"], values["X"], values["mask"]

    def total(state: Tensor) -> tuple[Tensor, Tensor]:
        energies = plan.energy[1]({**values, "xi": state})
        return energies.sum(), energies

    assert plan.weights is not None
    assert plan.radial is not None
    wanted, energies = torch.func.grad(total, has_aux=True)(xi)
    inputs = {**values, "s": xi @ X.mT, "q": (xi * xi).sum(-1, keepdim=True)}
    weights = torch.as_tensor(plan.weights[1](inputs), dtype=torch.float64).expand(mask.shape)
    radial = plan.radial if isinstance(plan.radial, float) else plan.radial[1](inputs)
    got = radial * xi - torch.where(mask, weights, 0.0) @ X
    close = torch.isclose(got, wanted, rtol=1e-9, atol=1e-11).all(-1)
    known: Tensor = energies.isfinite() & wanted.isfinite().all(-1)
    return known & ~close


def _axes_of(tree: Expr, name: str) -> Axes:
    if isinstance(tree, Symbol):
        return tree.axes
    assert isinstance(tree, Call)
    return next(_axes_of(a, name) for a in tree.args if name in a.names)
