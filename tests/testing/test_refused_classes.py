"""Every law refuses what breaks it: classes that are wrong in one way alone."""

from __future__ import annotations

import pytest
import torch

from attenergy.energies import CLASSES, Energy, open_rows
from attenergy.registry import EnergySpec
from attenergy.testing import LAWS, check_law

TRUTH, MASKS, KNOWN, DESCENT, CROSS_TALK, TRAINS, GRADIENT, _, BOUNDED = LAWS

pytestmark = [
    pytest.mark.filterwarnings("ignore:There is a performance drop"),  # fused softmax under vmap
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # inside torch's compiler
]


class Plain(Energy):
    """Log-sum-exp with beta = 1, right in every way."""

    has_weights = True

    def scores(self, xi, X, mask, field):
        scores = xi @ X.mT if field is None else xi @ X.mT + field
        return scores if mask is None else scores.masked_fill(~mask, -torch.inf)

    def energy(self, xi, X, mask, field):
        return 0.5 * (xi * xi).sum(-1) - torch.logsumexp(self.scores(xi, X, mask, field), -1)

    def weights(self, xi, X, mask, field):
        return torch.softmax(self.scores(xi, X, mask, field), -1)


class WeightsTooLarge(Plain):
    def weights(self, xi, X, mask, field):
        return 1.001 * super().weights(xi, X, mask, field)


class WeightsWithoutFirstDerivative(Plain):
    def weights(self, xi, X, mask, field):
        return super().weights(xi, X, mask, field).detach()


class _NoSecondDerivative(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weights):
        return weights.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad.detach()


class WeightsWithoutSecondDerivative(Plain):
    def weights(self, xi, X, mask, field):
        return _NoSecondDerivative.apply(super().weights(xi, X, mask, field))


class RadialWrong(Plain):
    def radial(self, xi, X, mask, field):
        return 1.0 + 1e-6


class MaskIgnored(Plain):
    has_weights = False

    def scores(self, xi, X, mask, field):
        return super().scores(xi, X, None, field)


class MaskMultiplied(Plain):
    """Hidden patterns count as exp(0)."""

    def scores(self, xi, X, mask, field):
        scores = super().scores(xi, X, None, field)
        return scores if mask is None else scores * mask


class HiddenPatternsLeak(Plain):
    has_weights = False

    def energy(self, xi, X, mask, field):
        return super().energy(xi, X / (1 + X.abs().amax((-2, -1), keepdim=True)), mask, field)


class HiddenScoresOverflow(Plain):
    """Right values, but what is hidden is left out after the exponential, not before."""

    has_weights = False

    def energy(self, xi, X, mask, field):
        score = xi @ X.mT if field is None else xi @ X.mT + field
        each = torch.exp(score)
        each = each if mask is None else torch.where(mask, each, 0.0)
        return 0.5 * (xi * xi).sum(-1) - torch.log(each.sum(-1, keepdim=True)).squeeze(-1)


class HiddenDistanceIsZero(Plain):
    """Right values, but the root of a hidden distance has no derivative where it is 0."""

    has_weights = False

    def energy(self, xi, X, mask, field):
        away = (xi.unsqueeze(-2) - X.unsqueeze(-3)).square().sum(-1).sqrt()
        away = away if mask is None else torch.where(mask, away, 0.0)
        return 0.5 * (xi * xi).sum(-1) + 0.1 * away.sum(-1)


class HiddenPatternsLearn(Plain):
    """Nothing shows but in derivatives: a hidden pattern gets one."""

    has_weights = False

    def energy(self, xi, X, mask, field):
        leak = X.sum((-2, -1), keepdim=True) * xi.new_zeros(1)
        leak = (X - X.detach()).sum((-2, -1), keepdim=True) + leak
        return super().energy(xi, X, mask, field) + (leak * xi).sum(-1)


class HeadsMixed(Plain):
    """A head sees a little of the others."""

    def scores(self, xi, X, mask, field):
        mixed = (
            xi if xi.ndim < 3 or self.num_heads is None else xi - 0.01 * xi.mean(-3, keepdim=True)
        )
        return super().scores(mixed, X, mask, field)

    has_weights = False


class AxisOfStatesLost(Plain):
    """X @ v has an axis less; it fits where samples, or heads, and states are equally many."""

    has_weights = False

    def scores(self, xi, X, mask, field):
        tilt = X @ torch.linspace(0.1, 1.0, X.shape[-1], dtype=X.dtype)
        tilt = tilt if self.num_heads is None else tilt.unsqueeze(-2)
        scores = xi @ X.mT + tilt if field is None else xi @ X.mT + tilt + field
        return scores if mask is None else scores.masked_fill(~mask, -torch.inf)


class EnergyOnEmptyRows(Plain):
    has_weights = False

    def forward(self, xi, X, *, mask=None, field=None):
        mask, field = self.check(xi, X, mask, field)
        return self.energy(xi, X, None if mask is None else open_rows(mask)[0], field)


class NotFiniteOnEmptyRows(Plain):
    has_weights = False

    def forward(self, xi, X, *, mask=None, field=None):
        mask, field = self.check(xi, X, mask, field)
        return self.energy(xi, X, mask, field)


class BatchMean(Plain):
    has_weights = False

    def energy(self, xi, X, mask, field):
        return super().energy(xi, X, mask, field) / xi.shape[0]


class BatchNormalised(Plain):
    has_weights = False

    def energy(self, xi, X, mask, field):
        return super().energy(xi - xi.mean(0, keepdim=True), X, mask, field)


class OrderMatters(Plain):
    def scores(self, xi, X, mask, field):
        position = torch.arange(X.shape[-2], dtype=X.dtype)
        scores = super().scores(xi, X, mask, field)
        return scores + 0.01 * position


class StatesCoupledInSecret(Plain):
    has_weights = False

    def energy(self, xi, X, mask, field):
        return super().energy(xi, X, mask, field) + 0.1 * (xi * xi.mean(-2, keepdim=True)).sum(-1)


class StateMean(Plain):
    has_weights = False

    def energy(self, xi, X, mask, field):
        return super().energy(xi, X, mask, field) / xi.shape[-2]


class MaskOfTheFirstState(Plain):
    """Right where all states see the same patterns."""

    has_weights = False

    def scores(self, xi, X, mask, field):
        first = None if mask is None else mask[..., :1, :]
        return super().scores(xi, X, first, field)


class FieldIgnored(Plain):
    """It says that it reads the field, as every class does that does not say otherwise."""

    has_weights = False

    def scores(self, xi, X, mask, field):
        return super().scores(xi, X, mask, None)


class PrecisionRaised(Plain):
    has_weights = False

    def energy(self, xi, X, mask, field):
        return super().energy(xi, X, mask, field) * torch.ones(1, dtype=torch.float64)


class ReadsData(Plain):
    """`.item()` cannot be compiled or vectorised."""

    has_weights = False

    def energy(self, xi, X, mask, field):
        return super().energy(xi, X, mask, field) * (1.0 if xi.sum().item() > -1e9 else 2.0)


class AutogradInside(Plain):
    """`torch.autograd.grad`: no transform of torch sees through it."""

    def weights(self, xi, X, mask, field):
        with torch.enable_grad():
            scores = super().scores(xi, X, mask, field).detach().requires_grad_()
            return torch.autograd.grad(torch.logsumexp(scores, -1).sum(), scores)[0]


class OverflowsInLowPrecision(Plain):
    has_weights = False

    def energy(self, xi, X, mask, field):
        steep = torch.log(1 + torch.exp(100 * xi)).sum(-1) / 100
        return super().energy(xi, X, mask, field) + steep


class RandomAtEachCall(Plain):
    has_weights = False

    def energy(self, xi, X, mask, field):
        return super().energy(xi, X, mask, field) * (1 + 0.1 * torch.rand(()))


class LostByCopying(Plain):
    """A parameter that is in no state dict."""

    has_weights = False

    def __init__(self, *args):
        super().__init__(*args)
        self.scale = [1.0]

    def __deepcopy__(self, memo):
        twin = type(self)(self.spec, self.dim, self.num_heads, self.settings)
        twin.scale = [2.0]
        return twin

    def energy(self, xi, X, mask, field):
        return super().energy(xi, X, mask, field) * self.scale[0]


class HandWritten(Plain):
    """Attention whose values are not its keys: no energy has this update."""

    def weights(self, xi, X, mask, field):
        return super().weights(xi, X, mask, field) * (1 + X[..., 0]).unsqueeze(-2)


BROKEN_CLASSES = {
    WeightsTooLarge: (TRUTH, ""),
    WeightsWithoutFirstDerivative: (TRUTH, ""),
    WeightsWithoutSecondDerivative: (TRUTH, ""),
    RadialWrong: (TRUTH, ""),
    MaskIgnored: (MASKS, ""),
    MaskMultiplied: (MASKS, ""),
    HiddenPatternsLeak: (MASKS, ""),
    HiddenScoresOverflow: (MASKS, "derivatives that are not 0"),
    HiddenDistanceIsZero: (MASKS, "derivatives that are not 0"),
    HiddenPatternsLearn: (MASKS, "derivatives that are not 0"),
    HeadsMixed: (CROSS_TALK, ""),
    AxisOfStatesLost: (CROSS_TALK, ""),
    EnergyOnEmptyRows: (MASKS, "energy other than 0"),
    NotFiniteOnEmptyRows: (MASKS, "energy other than 0"),
    BatchMean: (CROSS_TALK, ""),
    BatchNormalised: (CROSS_TALK, ""),
    OrderMatters: (CROSS_TALK, ""),
    StatesCoupledInSecret: (CROSS_TALK, ""),
    StateMean: (CROSS_TALK, ""),
    MaskOfTheFirstState: (CROSS_TALK, ""),
    FieldIgnored: (TRUTH, "reads_field = False"),
    PrecisionRaised: (TRAINS, "bfloat16"),
    ReadsData: (TRAINS, ""),
    AutogradInside: (TRAINS, ""),
    OverflowsInLowPrecision: (TRAINS, "bfloat16"),
    RandomAtEachCall: (TRAINS, ""),
    LostByCopying: (TRAINS, "deepcopy"),
    HandWritten: (GRADIENT, ""),
}


def entry(cls):
    return EnergySpec.model_validate({"title": "test", "quadratic": 1.0, "class": cls})


@pytest.mark.parametrize("law", [TRUTH, MASKS, DESCENT, CROSS_TALK, TRAINS, GRADIENT])
def test_the_class_that_all_broken_ones_derive_from_is_right(law, monkeypatch):
    monkeypatch.setitem(CLASSES, "Plain", Plain)
    result = check_law(law, entry("Plain"))
    assert result.passed, str(result)


@pytest.mark.parametrize("broken", BROKEN_CLASSES)
def test_a_broken_class_is_refused(broken, monkeypatch):
    monkeypatch.setitem(CLASSES, "Broken", broken)
    law, note = BROKEN_CLASSES[broken]
    result = check_law(law, entry("Broken"))
    assert result.passed is False, str(result)
    assert note in result.note
