"""Energies of a memory matrix against linear attention and the delta rule written as loops."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from attenergy.energies.memories.fast_weights import delta_energy, fast_weights, hebb_energy


@pytest.fixture
def sequence():
    """Queries and keys (2, 6, 4) and values (2, 6, 3)."""
    generator = torch.Generator().manual_seed(5)

    def draw(width):
        return torch.randn(2, 6, width, generator=generator, dtype=torch.float64)

    return draw(4), draw(4), draw(3)


def test_hebb_steps_are_causal_linear_attention(sequence):
    q, k, v = sequence
    read, memory = fast_weights(q, k, v, rule="hebb")
    torch.testing.assert_close(read, (q @ k.mT).tril() @ v, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(memory, v.mT @ k, rtol=1e-12, atol=1e-12)


def test_delta_steps_are_deltanet(sequence):
    q, k, v = sequence
    beta = torch.rand(2, 6, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    read, memory = fast_weights(q, k, v, step_size=beta)
    for b in range(2):
        S = torch.zeros(3, 4).double()
        for t in range(6):
            keep = torch.eye(4).double() - beta[b, t] * torch.outer(k[b, t], k[b, t])
            S = S @ keep + beta[b, t] * torch.outer(v[b, t], k[b, t])
            torch.testing.assert_close(read[b, t], S @ q[b, t], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(memory[b], S, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("gamma", [0.3, 1.0, 1.99])
def test_a_delta_step_lowers_its_energy_and_one_stores_the_pair(sequence, gamma):
    _, k, v = sequence
    k = functional.normalize(k, dim=-1)
    start = torch.randn(2, 3, 4, dtype=torch.float64)
    _, memory = fast_weights(k[:, :1], k[:, :1], v[:, :1], step_size=gamma, memory=start)
    before = delta_energy(start, k[:, 0], v[:, 0])
    after = delta_energy(memory, k[:, 0], v[:, 0])
    torch.testing.assert_close(after, (1 - gamma) ** 2 * before, rtol=1e-9, atol=1e-12)
    assert (after < before).all()


def test_energies_by_hand(sequence):
    _, k, v = sequence
    M = torch.randn(2, 3, 4, dtype=torch.float64)
    hebb = [-(v[b, 0] @ M[b] @ k[b, 0]) for b in range(2)]
    delta = [0.5 * (M[b] @ k[b, 0] - v[b, 0]).square().sum() for b in range(2)]
    torch.testing.assert_close(hebb_energy(M, k[:, 0], v[:, 0]), torch.stack(hebb))
    torch.testing.assert_close(delta_energy(M, k[:, 0], v[:, 0]), torch.stack(delta))


def test_it_continues_where_it_stopped_and_later_tokens_change_nothing(sequence):
    q, k, v = sequence
    whole, last = fast_weights(q, k, v, step_size=0.2)
    first, memory = fast_weights(q[:, :4], k[:, :4], v[:, :4], step_size=0.2)
    second, end = fast_weights(q[:, 4:], k[:, 4:], v[:, 4:], step_size=0.2, memory=memory)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(end, last)


@pytest.mark.parametrize("rule", ["hebb", "delta"])
def test_gradients_of_both_orders(sequence, rule):
    q, k, v = (0.5 * part[:1, :3].clone().requires_grad_() for part in sequence)

    def read(*parts):
        return fast_weights(*parts, rule=rule, step_size=0.5)[0]

    torch.autograd.gradcheck(read, (q, k, v), fast_mode=True)
    torch.autograd.gradgradcheck(read, (q, k, v), fast_mode=True)


def test_wrong_arguments_are_refused(sequence):
    q, k, v = sequence
    with pytest.raises(ValueError, match="did you mean 'delta'"):
        fast_weights(q, k, v, rule="delt")
    with pytest.raises(ValueError, match=r"values \(..., L, e\)"):
        fast_weights(q, k, v[:, :5])
