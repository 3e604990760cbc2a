"""Hidden patterns on which a function overflows or has a pole: as if they were not there.

Three states and six patterns. Three patterns are hidden from the first state: one with a score of
2000, one that coincides with the state, one at a right angle to it. The second state sees all. The
third sees none, and coincides with one or is 0, where scalars have poles too.
"""

from __future__ import annotations

import pytest
import torch

from attenergy.attention import attention_weights, gradient, read_values
from attenergy.attention.gradients.backends import backends
from attenergy.energies.language import FUNCTIONS, PUBLIC, elementwise

WRITTEN = (
    "sum_n(exp(c*X @ xi + h))",
    "log(sum_n(exp(c*X @ xi)))",
    "sum_n(log(sqdist(X, xi)))",
    "sum_n(log(abs(X @ xi)))",
    "sum_n(sqrt(sqdist(X, xi)))",
    "sum_n(sqrt(abs(X @ xi)))",
    "sum_n(c/sqdist(X, xi))",
    "sum_n(1/(X @ xi))",
    "sum_n((X @ xi)^-2)",
    "sum_n((X @ xi)^3)",
    "sum_n(sqdist(X, xi)^1.5)",
    "sum_n(sqdist(X, xi)^c)",
    "sum_n(abs(X @ xi)^-c)",
    "sum_n(log(1 + exp(X @ xi)))",
    "sum_n(sin(exp(c*X @ xi)))",
    "sum_n(cos(1/sqdist(X, xi)))",
    "sum_n(softplus(exp(X @ xi)))",
    "sum_n(relu(exp(X @ xi))*h)",
    "sum_n(abs(log(sqdist(X, xi))))",
    "sum_n(sign(1/(X @ xi))*(X @ xi) + step(1/(X @ xi))*(X @ xi))",
    "sum_n(sigmoid(1/(X @ xi)))",
    "sum_n(tanh(exp(X @ xi))*(X @ xi))",
    "sum_n(logcosh(log(sqdist(X, xi))))",
    "mean_n(exp(exp(exp(0.1*X @ xi))))",
    "sum_n(exp(X @ xi)/sqdist(X, xi))",
    "exp(X @ xi) @ (1/sqdist(X, xi))",
    "|exp(X @ xi)| + |1/(X @ xi)|^2",
    "max_n(-1/sqdist(X, xi))",
    "lse(-1/sqdist(X, xi))",
    "softmax(log(sqdist(X, xi))) @ (X @ xi)",
    "xi @ (X' @ exp(X @ xi))",
    "sparsemax_conj(log(sqdist(X, xi)))",
    "entmax_conj(1/(2 + X @ xi), 1.5)",
    "normmax_conj(1/(2 + X @ xi), 2)",
    "ksubsets_conj(log(sqdist(X, xi)), 2)",
    "c*log(|xi|^2) + lse(X @ xi)",
    "c*lse(X @ xi)^3",  # a guard in the energy, and none in the weights
    "c/|xi| + (1/xi) @ (xi^-3) - lse(X @ xi)",
    "log(sum_n(relu(X @ xi)))^c + sqrt(lse(X @ xi) + 9)",
)


def others():
    """Functions that none of them calls: elementwise ones at a pole, and sums over patterns."""
    for name in PUBLIC:
        row = FUNCTIONS[name]
        if f"{name}(" in " ".join(WRITTEN) or row.arity != 1:
            continue
        if row.typing is elementwise:
            yield f"sum_n({name}(1/(X @ xi))*(X @ xi))"
        elif name.endswith("_n"):
            yield f"{name}(log(sqdist(X, xi)))"


FORMULAS = (*WRITTEN, *others())
SEED = 5  # at whose point every formula has a value


def point():
    """States, patterns, field and mask, as above; the same for every formula."""
    generator = torch.Generator().manual_seed(SEED)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    xi, X = draw(3, 4), draw(6, 4)
    away = xi[0] - xi[1] * (xi[0] @ xi[1]) / (xi[1] @ xi[1])  # at a right angle to the second state
    X[3] += 2000 * away / (away @ xi[0])
    X[4] = xi[0]
    X[5] -= xi[0] * (X[5] @ xi[0]) / (xi[0] @ xi[0])
    xi[2] = X[1]
    mask = torch.tensor([[True, True, True, False, False, False], [True] * 6, [False] * 6])
    return xi, X, 0.3 * draw(3, 6), mask


def all_of(value, slope, leaves):
    """A value, a gradient, and the derivatives of both."""
    aim = torch.linspace(0.5, 1.5, slope.numel(), dtype=torch.float64).reshape(slope.shape)
    first = torch.autograd.grad(value.sum(), leaves, retain_graph=True, materialize_grads=True)
    second = torch.autograd.grad((slope * aim).sum(), leaves, materialize_grads=True)
    return [value, slope, *first, *second]


@pytest.mark.parametrize("formula", FORMULAS)
def test_they_are_as_if_deleted(formula, energy_of):
    energy = energy_of(formula, c={"init": 0.8, "constraint": "positive"})
    xi, X, h, mask = point()
    if "|xi|" in formula or "relu(X" in formula:
        xi[2] = 0.0
    leaves = [xi.requires_grad_(), X.requires_grad_(), *energy.parameters()]
    rows = [(xi[:1], X[:3], h[:1, :3]), (xi[1:2], X, h[1:2])]
    none = torch.zeros(1, 4, dtype=torch.float64)
    value = torch.cat([*(energy(s, p, field=f) for s, p, f in rows), none[:, 0]])
    slopes = (gradient(energy, s, p, field=f, backend="eager") for s, p, f in rows)
    slope = torch.cat([*slopes, none])
    wanted = all_of(value, slope, leaves)
    assert all(part.isfinite().all() for part in wanted)
    traces = FORMULAS.index(formula) % 6 == 0  # tracing takes a second
    for backend in (b for b in backends(energy) if b != "traced" or traces):
        value = energy(xi, X, mask=mask, field=h)
        slope = gradient(energy, xi, X, mask=mask, field=h, backend=backend)
        for got, right in zip(all_of(value, slope, leaves), wanted, strict=True):
            torch.testing.assert_close(got, right, rtol=1e-9, atol=1e-9)
    if energy.has_weights:
        read = read_values(energy, xi, X, X, mask=mask, field=h)
        torch.testing.assert_close(
            read[:1], read_values(energy, *rows[0][:2], X[:3], field=h[:1, :3])
        )
        assert (attention_weights(energy, xi, X, mask=mask, field=h)[0, 3:] == 0).all()


def test_every_function_of_the_language_is_among_them():
    text = " ".join(FORMULAS)
    missing = {name for name in PUBLIC if name + "(" not in text}
    assert missing == {
        "sum_d",
        "mean_d",
        "count_n",
        "count_d",
        "sparsemax",
        "entmax",
        "normmax",
        "ksubsets",
    }
