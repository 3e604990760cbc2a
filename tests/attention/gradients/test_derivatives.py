"""Every backend is `eager` in value, first and second derivatives, for every entry."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from attenergy.attention import backends, gradient, read_values
from attenergy.attention.gradients import chunked
from attenergy.attention.gradients.sdpa import fused_attention
from attenergy.registry import load_registry
from attenergy.testing.cases import build, variations
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)
NAMES = list(REGISTRY.energies)
#: Where `auto` traces; a trace takes half a second.
OPAQUE = {n for n in NAMES if not build(REGISTRY.energies[n]).has_weights}


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    """Chunks of two rows, and so several of them."""
    monkeypatch.setattr(chunked, "LEAST_ROWS", 2)
    monkeypatch.setattr(chunked, "CHUNK", 1)


def derivatives(function, inputs):
    """A value, its derivatives, and the derivatives of their weighted sum."""
    torch.manual_seed(1)
    value = function()
    first = torch.autograd.grad(
        (value * draw(*value.shape)).sum(), inputs, create_graph=True, materialize_grads=True
    )
    mixed = sum((f * draw(*f.shape)).sum() for f in first)
    return [value, *first, *torch.autograd.grad(mixed, inputs, materialize_grads=True)]


def close(some, others):
    for a, b in zip(some, others, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


def leaves(case):
    xi, X = case.xi.clone().requires_grad_(), case.X.clone().requires_grad_()
    field = None if case.field is None else case.field.clone().requires_grad_()
    learned = [p for p in case.energy.parameters() if p.requires_grad]
    return xi, X, field, [t for t in (xi, X, field, *learned) if t is not None]


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name):
    for case in variations(build(REGISTRY.energies[name])):
        xi, X, field, inputs = leaves(case)
        given = {"mask": case.mask, "field": field}

        def by(backend, case=case, xi=xi, X=X, given=given):
            return lambda: gradient(case.energy, xi, X, backend=backend, **given)

        want = derivatives(by("eager"), inputs)
        for backend in backends(case.energy)[1:]:
            if backend != "traced":
                close(derivatives(by(backend), inputs), want)


@pytest.mark.long
@pytest.mark.by_kind
@pytest.mark.parametrize("name", NAMES)
def test_traces(name):
    *_, case = variations(build(REGISTRY.energies[name]))  # with mask and, where read, field
    xi, X, field, inputs = leaves(case)

    def by(backend):
        mask = case.mask
        return lambda: gradient(case.energy, xi, X, mask=mask, field=field, backend=backend)

    close(derivatives(by("traced"), inputs), derivatives(by("eager"), inputs))


@pytest.mark.parametrize("name", sorted(set(NAMES) - OPAQUE))
def test_what_is_read(name):
    *_, case = variations(build(REGISTRY.energies[name]))
    xi, X, field, inputs = leaves(case)
    values = draw(*X.shape[:-1], 3).requires_grad_()

    def by(backend):
        given = {"mask": case.mask, "field": field, "backend": backend}
        return lambda: read_values(case.energy, xi, X, values, **given)

    want = derivatives(by("scores"), [*inputs, values])
    for backend in set(backends(case.energy)) - {"scores"}:
        close(derivatives(by(backend), [*inputs, values]), want)


# The fused kernel.


def explicit(q, k, v, mask):
    scores = q @ k.mT
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, -torch.inf)
    elif mask is not None:
        scores = scores + mask
    return torch.softmax(scores, -1) @ v


MASKS = {
    "none": lambda: None,
    "boolean": lambda: torch.rand(2, 1, 3, 5) < 0.7,
    "numbers": lambda: draw(2, 1, 3, 5),
    "learned": lambda: draw(1, 2, 3, 5).requires_grad_(),
}


@pytest.mark.parametrize("kind", MASKS)
def test_fused_kernel_has_derivatives_of_both_orders(kind):
    q, k, v = draw(2, 2, 3, 4), draw(1, 2, 5, 4), draw(1, 2, 5, 4)
    inputs = [t.requires_grad_() for t in (q, k, v)]
    mask = MASKS[kind]()
    if kind == "boolean":
        mask[..., 0] = True
    inputs += [mask] if kind == "learned" else []
    got = derivatives(lambda: fused_attention(q, k, v, mask), inputs)
    close(got, derivatives(lambda: explicit(q, k, v, mask), inputs))
    shared = derivatives(lambda: fused_attention(q, q, q, None), [q])
    close(shared, derivatives(lambda: explicit(q, q, q, None), [q]))


def test_fused_kernel_keeps_its_own_first_derivative(monkeypatch):
    """A written derivative that a run for second derivatives left behind is not taken for it."""
    q, k, v = (draw(1, 1, 3, 4).requires_grad_() for _ in range(3))
    out = fused_attention(q, k, v, None)
    mid = torch.autograd.grad(out.sum(), [v], create_graph=True)  # asks for no more than v
    again = torch.autograd.grad(out.square().sum(), [q, k, v])
    want = scaled_dot_product_attention(q, k, v, scale=1.0)
    close(mid, torch.autograd.grad(want.sum(), [v], retain_graph=True))
    close(again, torch.autograd.grad(want.square().sum(), [q, k, v]))
