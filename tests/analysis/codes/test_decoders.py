"""Linear decoders against scikit-learn and against their definitions."""

from __future__ import annotations

import pytest
import torch

from attenergy.analysis.codes.decoders import (
    Scaling,
    balanced_accuracy,
    fit_logistic,
    fit_ridge,
    macro_f1,
    r2_of_sums,
    sums_of,
    tabulate,
)


def planted(count: int = 300) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(count, 5, dtype=torch.float64, generator=generator)
    noise = torch.randn(count, 3, dtype=torch.float64, generator=generator)
    return codes, (codes[:, :3] * torch.tensor([2.0, 1.0, 0.5]) + noise).argmax(-1)


def test_the_logistic_regression_is_the_balanced_one_of_scikit_learn() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    metrics = pytest.importorskip("sklearn.metrics")
    codes, labels = planted()
    z = Scaling.of(codes)(codes)
    other = labels.flip(0)
    decoder = fit_logistic(z, torch.stack([labels, other]), 4)  # a class that does not occur
    answers = decoder(z)
    for number, truth in enumerate((labels, other)):
        theirs = linear_model.LogisticRegression(class_weight="balanced", tol=1e-8, max_iter=999)
        theirs.fit(z[:, :-1].numpy(), truth.numpy())
        ours = decoder.W[number, :-1, :3]
        centred = ours - ours.mean(-1, keepdim=True)
        torch.testing.assert_close(centred.mT, torch.from_numpy(theirs.coef_), rtol=1e-3, atol=1e-4)
        assert answers[number].tolist() == theirs.predict(z[:, :-1].numpy()).tolist()
    table = tabulate(answers, labels, 4)
    assert table.sum((-1, -2)).tolist() == [300, 300]
    for number in (0, 1):
        pair = (labels.numpy(), answers[number].numpy())
        want = metrics.balanced_accuracy_score(*pair)
        assert float(balanced_accuracy(table)[number]) == pytest.approx(want)
        assert float(macro_f1(table)[number]) == pytest.approx(
            metrics.f1_score(*pair, average="macro")
        )


def test_codes_that_do_not_differ_tell_nothing_and_break_nothing() -> None:
    codes, labels = torch.full((60, 4), 0.3, dtype=torch.float64), torch.arange(60) % 3
    scaling = Scaling.of(codes)
    assert not scaling(codes)[:, :-1].any()
    answers = fit_logistic(scaling(codes), labels[None], 3)(scaling(codes))
    assert float(balanced_accuracy(tabulate(answers, labels, 3))) == pytest.approx(1 / 3)


def test_the_ridge_regression_solves_its_normal_equations() -> None:
    codes, _ = planted()
    z = Scaling.of(codes)(codes)
    values = torch.stack([codes[:, :2], codes[:, 2:4] ** 2])
    W = fit_ridge(z, values, penalty=2.0)
    stacked = torch.cat([z, 2**0.5 * torch.eye(6, dtype=torch.float64)])
    for number, each in enumerate(values):
        filled = torch.cat([each, each.new_zeros(6, 2)])
        torch.testing.assert_close(W[number], torch.linalg.lstsq(stacked, filled).solution)


def test_r2_from_sums_over_groups_is_r2() -> None:
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(50, 3, dtype=torch.float64, generator=generator)
    values[:, 2] = 7.0  # does not vary, so it does not count
    guesses = values + 0.5 * torch.randn(50, 3, dtype=torch.float64, generator=generator)
    sums = sums_of(values, guesses, torch.arange(50) % 6, 6).sum(0)
    error = (values - guesses).square().sum(0)
    want = (1 - error / (values - values.mean(0)).square().sum(0))[:2].mean()
    assert float(r2_of_sums(sums)) == pytest.approx(float(want))
    assert r2_of_sums(sums_of(values, guesses, torch.zeros(50).long(), 1)[..., 2:]).isnan().all()


def test_a_class_that_does_not_occur_does_not_count() -> None:
    table = torch.tensor([[3.0, 1.0, 0.0], [1.0, 1.0, 2.0], [0.0, 0.0, 0.0]])
    assert float(balanced_accuracy(table)) == pytest.approx((3 / 4 + 1 / 4) / 2)
    assert float(macro_f1(table)) == pytest.approx((6 / 8 + 2 / 6) / 2)
