"""A field that says "never" does what a mask does: to single patterns and to whole rows."""

from __future__ import annotations

import math

import pytest
import torch

from attenergy.attention import attention_weights, backends, gradient, read_values, relax
from attenergy.energies import FormulaEnergy, make_energy
from attenergy.energies.masks import hide_by_field, whole_rows
from attenergy.registry import load_registry
from attenergy.testing.cases import BATCH, STATES, build, draw, random_case

REGISTRY = load_registry(plugins=False)
READERS = [n for n, s in REGISTRY.energies.items() if build(s).reads_field]
#: Softmax energies that read the field in every way.
FORMULAS = [
    "0.5*|xi|^2 - lse(X@xi + h)",
    "0.5*|xi|^2 - lse(X@xi + 2*h)",
    "0.5*|xi|^2 - lse(X@xi - h)",
    "0.5*|xi|^2 - lse(X@xi + tanh(h))",
    "0.5*|xi|^2 - lse(X@xi + h) - lse(h)",
]
NEVERS = [-math.inf, -1e9, -1e4]


def cases(stored):
    """Which patterns the field shows: state 1 none, sample 0 none, the others some."""
    generator = torch.Generator().manual_seed(0)
    some = torch.rand(BATCH, 1, STATES, stored, generator=generator) < 0.6
    some[..., 1, :] = some[0] = False
    rows = torch.ones(STATES, stored, dtype=torch.bool)
    rows[1] = False
    return some, rows


def outcome(call, tensors, inputs):
    """What `call` gives, and the gradients of a sum of it."""
    given = [t.clone().requires_grad_() for t in tensors]
    out = call(*given)
    return out, torch.autograd.grad(
        out.cos().sum(), [*given, *inputs], allow_unused=True, materialize_grads=True
    )


def agree(energy, call, never):
    """`call(xi, X, mask, field)` by field and by mask: value and gradients are the same."""
    case = random_case(energy)
    stored = (case.X if energy.reads_patterns else case.xi).shape[-2]
    numbers = draw(9, BATCH, 1, STATES, stored)
    trained = [p for p in energy.parameters() if p.requires_grad]
    for seen in cases(stored):
        for mask in (None, draw(8, STATES, stored) > -0.5):
            both = seen if mask is None else seen & mask
            want = outcome(
                lambda xi, X, h, m=both: call(xi, X, m, h), (case.xi, case.X, numbers), trained
            )
            got = outcome(
                lambda xi, X, h, m=mask, s=seen: call(xi, X, m, torch.where(s, h, never)),
                (case.xi, case.X, numbers),
                trained,
            )
            torch.testing.assert_close(got, want)


@pytest.mark.parametrize("never", NEVERS)
@pytest.mark.parametrize("name", READERS)
def test_a_row_that_says_never_is_a_hidden_row(name, never):
    energy = build(REGISTRY.energies[name])
    agree(energy, lambda xi, X, m, h: energy(xi, X, mask=m, field=h), never)
    agree(energy, lambda xi, X, m, h: gradient(energy, xi, X, mask=m, field=h), never)
    agree(energy, lambda xi, X, m, h: relax(energy, xi, X, mask=m, field=h, steps=2).state, never)


@pytest.mark.long
@pytest.mark.parametrize("never", NEVERS[:2])
@pytest.mark.parametrize("formula", [*FORMULAS, "lse", "l2_lse"])
def test_softmax_in_every_backend(formula, never, named):
    energy = make_energy(formula, dim=4, num_heads=2, registry=REGISTRY).double()
    assert energy.is_attention
    values = draw(7, BATCH, 2, random_case(energy).X.shape[-2], 3)
    for backend in ("auto", *backends(energy)):
        with named(backend):
            agree(
                energy,
                lambda xi, X, m, h, b=backend: gradient(energy, xi, X, mask=m, field=h, backend=b),
                never,
            )
            agree(
                energy,
                lambda xi, X, m, h, b=backend: read_values(
                    energy, xi, X, values, mask=m, field=h, backend=b
                ),
                never,
            )
    agree(energy, lambda xi, X, m, h: attention_weights(energy, xi, X, mask=m, field=h), never)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # the compiler's look
@pytest.mark.parametrize("name", ["lse", "sparsemax"])
def test_where_numbers_may_not_be_looked_at(name):
    energy = build(REGISTRY.energies[name])

    def call(xi, X, mask, field):
        return gradient(energy, xi, X, mask=mask, field=field)

    def of_samples(xi, X, mask, field):
        axes = (0, 0, None if mask is None or mask.ndim == 2 else 0, 0 if field.ndim > 2 else None)
        return torch.vmap(call, in_dims=axes)(xi, X, mask, field)

    agree(energy, of_samples, -math.inf)
    agree(energy, torch.compile(call, backend="aot_eager", dynamic=False), -math.inf)


def test_which_formulas_add_their_field():
    adds = [make_energy(formula, dim=4).adds_field for formula in FORMULAS]
    assert adds == [True, True, False, False, False]
    energies = [build(spec) for spec in REGISTRY.energies.values()]
    formulas = [e for e in energies if isinstance(e, FormulaEnergy) and e.is_attention]
    assert formulas
    assert all(e.adds_field == e.reads_field for e in formulas)


@pytest.mark.parametrize("added", [True, False])
def test_a_finite_field_stays_as_it_is(added):
    mask, field = torch.rand(2, 3, 4) < 0.5, torch.randn(2, 3, 4)
    for own in (None, mask) if added else (None,):
        got = hide_by_field(own, field, added)
        assert got[0] is own
        assert got[1] is field
    if not added:  # what stands under the mask is of no matter then
        seen, clear = hide_by_field(mask, field)
        assert torch.equal(seen, mask)
        assert torch.equal(clear, field * mask)
    some = field.masked_fill(torch.eye(3, 4).bool(), -math.inf)  # no whole row
    assert hide_by_field(None, some, True)[1] is some
    assert hide_by_field(None, field[:, :, :0], added)[0] is None
    nan = torch.full((2, 3, 4), math.nan)
    got, shown = hide_by_field(None, nan, added)
    assert got is None or got.all()
    assert shown.isnan().all()


def test_rows_that_are_one_number():
    rows = torch.tensor([[True], [False]])
    assert torch.equal(whole_rows(rows.expand(2, 5)), rows)
    assert whole_rows(rows.expand(2, 5).clone()) is None
    assert whole_rows(rows) is None
