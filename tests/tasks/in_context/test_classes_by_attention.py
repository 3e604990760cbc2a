"""Known answers: energies whose weights over examples are the Bayes posterior of classes."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from attenergy.attention import EnergyAttention
from attenergy.energies import make_energy
from attenergy.tasks import Batch, FewShotGaussians

DIM, WAYS = 3, 4


def normal_log_density(x: Tensor, mean: Tensor, variance: float) -> Tensor:
    """Log of N(x; mean, variance I), by torch.distributions."""
    apart = torch.distributions.Normal(mean, variance**0.5)
    return apart.log_prob(x).sum(-1)


def test_one_step_of_l2_lse_over_known_means_has_the_posterior_as_weights() -> None:
    """p(c | x) of equally likely classes N(mu_c, sigma^2 I), at beta = 1/sigma^2."""
    sigma = 0.6
    made = torch.Generator().manual_seed(0)
    means = torch.randn(5, WAYS, DIM, generator=made, dtype=torch.float64)
    x = torch.randn(5, 6, DIM, generator=made, dtype=torch.float64)
    energy = make_energy("l2_lse", dim=DIM, beta=1 / sigma**2).double()
    likelihood = normal_log_density(x[:, :, None], means[:, None], sigma**2).exp()
    expected = likelihood / likelihood.sum(-1, keepdim=True)
    torch.testing.assert_close(energy.weights(x, means, None, None), expected)


def test_weights_of_l2_lse_over_examples_are_kernel_regression() -> None:
    """Nadaraya and Watson: the share of a label is the sum of the kernels of its examples."""
    task = FewShotGaussians(dim=DIM, ways=WAYS, shots=3, queries=5)
    tokens = task.batch("test", 0, 6).inputs.double()
    features, labels = tokens[..., :DIM], tokens[..., DIM:]
    n = task.support
    energy = make_energy("l2_lse", dim=DIM, beta=1 / 0.64).double()
    shares = energy.weights(features[:, n:], features[:, :n], None, None) @ labels[:, :n]
    for b in range(6):
        for query in range(5):
            each = torch.zeros(WAYS, dtype=torch.float64)
            for example in range(n):
                gap = (features[b, n + query] - features[b, example]).square().sum()
                each[labels[b, example].argmax()] += torch.exp(-gap / (2 * 0.64))
            torch.testing.assert_close(shares[b, query], each / each.sum())


@pytest.mark.parametrize("split", ["test", "ood_noise"])
def test_one_step_of_lse_over_one_example_each_is_the_posterior(split: str) -> None:
    """Means unknown: patterns a x_c, field -|a x_c|^2/2v, beta = 1/v, and labels as values."""
    task = FewShotGaussians(dim=DIM, ways=WAYS, shots=1, queries=6, noise=0.7)
    noise, spread = task.noise_of(split) ** 2, task.spread_of(split) ** 2
    shrink = spread / (spread + noise)
    variance = noise + shrink * noise
    energy = make_energy("lse", dim=DIM, beta=1 / variance).double()

    def predict(batch: Batch) -> Tensor:
        tokens = batch.inputs.double()
        features, labels = tokens[..., :DIM], tokens[..., DIM:]
        patterns = shrink * features[:, :WAYS]
        field = -patterns.square().sum(-1)[:, None] / (2 * variance)
        field = field.expand(-1, tokens.shape[1], -1)
        return energy.weights(features, patterns, None, field) @ labels[:, :WAYS]

    batch = task.batch(split, 0, 20)
    double = Batch(batch.inputs.double(), batch.targets)
    exact = task.log_posterior(double, split).exp()
    torch.testing.assert_close(predict(batch)[:, WAYS:], exact[:, WAYS:])
    ceiling = task.ceiling(split)
    assert ceiling is not None
    scores = task.evaluate(predict, split, 2048)
    assert scores["accuracy"] == pytest.approx(ceiling.value, abs=0.02)


def test_a_layer_with_set_projections_classifies_planted_classes() -> None:
    """`EnergyAttention`: features as states and patterns, labels as values."""
    task = FewShotGaussians(dim=DIM, ways=WAYS, shots=4, queries=6, noise=0.3, spread=1.5)
    size = DIM + WAYS
    layer = EnergyAttention(size, 1, "l2_lse", beta=1 / 0.09).double()
    reads_features = torch.diag(torch.tensor([1.0] * DIM + [0.0] * WAYS))
    with torch.no_grad():
        maps = layer.projections
        for each, matrix in (
            (maps.query, reads_features),
            (maps.key, reads_features),
            (maps.value, torch.eye(size) - reads_features),
            (maps.out, torch.eye(size)),
        ):
            each.weight.copy_(matrix)
            each.bias.zero_()

    def predict(batch: Batch) -> Tensor:
        shown = torch.arange(batch.inputs.shape[1]) < task.support
        return layer(batch.inputs.double(), mask=shown.expand(len(batch.inputs), 1, 1, -1))[
            ..., DIM:
        ]

    scores = task.evaluate(predict, "test", 1024)
    best = task.evaluate(partial(task.log_posterior, split="test"), "test", 1024)
    assert best["accuracy"] > 0.97
    assert scores["accuracy"] > best["accuracy"] - 0.01
