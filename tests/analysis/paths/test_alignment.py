"""Centred alignment against its formula, its null and its error."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attenergy.analysis.paths.alignment import align, kernels_of, overlaps, target_kernel


def drawn(*shape: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def by_formula(a: Tensor, b: Tensor) -> float:
    count = len(a)
    centring = torch.eye(count).double() - 1 / count
    a, b = centring @ a @ centring, centring @ b @ centring
    return float((a * b).sum() / (a.norm() * b.norm()))


def test_it_is_the_formula() -> None:
    x, y = drawn(20, 3, 5), torch.arange(20) % 4
    kernels, target = kernels_of(x), target_kernel(y)
    one_hot = torch.nn.functional.one_hot(y).double()
    got = align(kernels, target, shuffles=20, generator=torch.Generator())
    for path in range(3):
        gram = x[:, path] @ x[:, path].mT
        assert float(got.value[path]) == pytest.approx(by_formula(gram, one_hot @ one_hot.mT))
    pair = by_formula(x[:, 0] @ x[:, 0].mT, x[:, 1] @ x[:, 1].mT)
    assert float(overlaps(kernels)[0, 1]) == pytest.approx(pair)
    assert torch.allclose(overlaps(kernels).diagonal(), torch.ones(3).double())
    assert torch.allclose(kernels_of(3 * x + 7), kernels, atol=1e-10)


def test_numbers_and_classes_are_targets() -> None:
    y = torch.arange(12) % 3
    one_hot = torch.nn.functional.one_hot(y).double()
    assert torch.allclose(target_kernel(y), target_kernel(one_hot))
    assert torch.allclose(target_kernel(y), target_kernel(100 * y + 5))
    assert target_kernel(torch.linspace(0, 1, 12)).shape == (12, 12)


def test_a_kernel_that_is_the_same_everywhere_has_no_alignment() -> None:
    features = drawn(1, 1, 4).expand(10, 1, 4)
    got = align(
        kernels_of(features), target_kernel(torch.arange(10) % 2), shuffles=20,
        generator=torch.Generator(),
    )  # fmt: skip
    assert float(got.value[0]) == float(got.error[0]) == 0.0
    assert not got.stands_out[0]


def test_shuffled_targets_do_not_stand_out_more_often_than_said() -> None:
    """Of 40 samples without any signal, each of 8 kernels: about 5 % have one that stands out."""
    hits = 0
    for seed in range(40):
        x = drawn(24, 8, 3, seed=seed)
        y = torch.randint(3, (24,), generator=torch.Generator().manual_seed(100 + seed))
        got = align(
            kernels_of(x), target_kernel(y), shuffles=60,
            generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        hits += int(got.stands_out.any())
    assert hits <= 7  # P(more) = 0.001 at 5 %


def test_the_error_is_that_of_new_samples() -> None:
    y = torch.arange(60) % 2
    values, errors = [], []
    for seed in range(30):
        x = drawn(60, 1, 2, seed=seed)
        x[:, 0, 0] += 1.5 * y
        got = align(kernels_of(x), target_kernel(y), shuffles=20, generator=torch.Generator())
        values.append(float(got.value[0]))
        errors.append(float(got.error[0]))
    spread = float(torch.tensor(values).std())
    assert 0.6 * spread < sum(errors) / len(errors) < 1.6 * spread
    assert min(values) > 0.1


@pytest.mark.parametrize("shuffles", [20, 40])
def test_few_shuffles_find_no_more_by_chance(shuffles: int) -> None:
    least = []
    for seed in range(200):
        kernels, y = kernels_of(drawn(16, 30, 1, seed=seed).exp()), drawn(16, seed=1000 + seed)
        generator = torch.Generator().manual_seed(seed)
        got = align(kernels, target_kernel(y), shuffles=shuffles, generator=generator)
        least.append(float(got.p.min()))
    assert torch.tensor(least).le(0.05).double().mean() < 0.1  # 0.05 expected, +- 0.015
