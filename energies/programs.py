"""The programs of a formula: its energy, and where they can be written its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from attenergy.energies.language import (
    FIELD,
    Call,
    Expr,
    Number,
    Program,
    ScoreForm,
    call,
    compile_tree,
    remembered,
    score_form,
    stable_form,
)
from attenergy.energies.language.algebra import split_factors, split_terms
from attenergy.energies.rows.kernel import RowKernel

Pair = tuple[Program, Program]  # without and with a mask


class _Rows(NamedTuple):
    """Programs of weights that are a kernel's."""

    kernel: RowKernel
    scale: Pair | float
    bias: Pair | None
    arguments: tuple[Pair | float, ...]


@dataclass(frozen=True)
class Plan:
    """Programs of one formula, with or without a field.

    Attributes:
        adds_field: whether the field is read once, as a term of the scores of a softmax.
    """

    energy: Pair
    weights: Pair | None = None
    radial: Pair | float | None = None
    scale: Pair | float | None = None
    bias: Pair | None = None
    rows: _Rows | None = None
    sink: tuple[Pair | float, Pair | None] | None = None
    adds_field: bool = False


@remembered(256)
def make_plan(tree: Expr, with_field: bool) -> Plan:
    """Compile a formula, with its derivative if that can be written."""
    tree = stable_form(tree if with_field else _without_field(tree))
    energy = _pair(tree, squeeze=True)
    form = score_form(tree)
    if form is None:
        return Plan(energy)
    radial = _value(form.radial)
    sink = form.with_sink
    plan = Plan(
        energy,
        _pair(form.weights),
        radial,
        rows=_rows(form),
        sink=None if sink is None else (_value(sink[0]), _bias(sink[1])),
    )
    attention = form.attention
    if attention is None:
        return plan
    scale, bias = attention
    return Plan(
        energy,
        plan.weights,
        radial,
        _value(scale),
        _bias(bias),
        adds_field=_readings(form.readout) == 1 and _adds_field(bias),
    )


def _rows(form: ScoreForm) -> _Rows | None:
    if form.rows is None:
        return None
    kernel, scale, bias, others = form.rows
    return _Rows(kernel, _value(scale), _bias(bias), tuple(map(_value, others)))


def _adds_field(bias: Expr) -> bool:
    """Whether one term of the bias is the field, times a number above 0 at most."""
    terms = map(split_factors, split_terms(bias))
    return any(number > 0 and factors == [FIELD] for number, factors in terms)


def _readings(tree: Expr) -> int:
    """How often the field stands in a tree."""
    if tree == FIELD:
        return 1
    return sum(map(_readings, tree.args)) if isinstance(tree, Call) and "h" in tree.names else 0


def _value(tree: Expr) -> Pair | float:
    return tree.value if isinstance(tree, Number) else _pair(tree)


def _bias(tree: Expr) -> Pair | None:
    return None if isinstance(tree, Number) and tree.value == 0 else _pair(tree)


def _pair(tree: Expr, squeeze: bool = False) -> Pair:
    return compile_tree(tree, False, squeeze), compile_tree(tree, True, squeeze)


def _without_field(tree: Expr) -> Expr:
    """The tree with the field left out of sums; where it stands elsewhere it remains (and is 0)."""
    if not isinstance(tree, Call) or "h" not in tree.names:
        return tree
    if tree.function == "add":
        rest = [_without_field(a) for a in tree.args if a != FIELD]
        if rest and any(a.axes == tree.axes for a in rest):
            return rest[0] if len(rest) == 1 else call("add", *rest)
        return tree
    return call(tree.function, *map(_without_field, tree.args))
