"""FlexAttention: forward on a CPU; derivatives where there is CUDA."""

from __future__ import annotations

import pytest
import torch

from attenergy.attention import gradient, read_values
from attenergy.energies import make_energy

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")


def problem(device="cpu", heads=2, dim=16):
    torch.manual_seed(0)
    energy = make_energy("lse", dim=dim, num_heads=heads).to(device)
    xi, X, values = (torch.randn(2, 2, n, dim, device=device) for n in (5, 7, 7))
    mask = torch.rand(2, 1, 5, 7, device=device) < 0.6
    mask[0, :, 1] = False
    return energy, xi, X, values, mask, torch.randn(2, 5, 7, device=device)


def test_forward_is_the_eager_one():
    energy, xi, X, values, mask, field = problem()
    with torch.no_grad():
        for given in ({}, {"mask": mask}, {"field": field}, {"mask": mask, "field": field}):
            want = gradient(energy, xi, X, backend="eager", **given)
            torch.testing.assert_close(gradient(energy, xi, X, backend="flex", **given), want)
            want = read_values(energy, xi, X, values, backend="scores", **given)
            got = read_values(energy, xi, X, values, backend="flex", **given)
            torch.testing.assert_close(got, want)


def test_refuses_derivatives_off_cuda_and_weights_of_another_kind():
    energy, xi, X, *_ = problem()
    with pytest.raises(ValueError, match=r"'flex' has derivatives on CUDA only, .* on cpu; choose"):
        gradient(energy, xi, X, backend="flex")
    with pytest.raises(
        ValueError, match="no backend 'flex'; it has eager, traced, scores, chunked"
    ):
        gradient(make_energy("rbm", dim=16), xi, X, backend="flex")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_derivatives_on_cuda():
    energy, xi, X, _, mask, field = problem("cuda")
    xi, X = xi.requires_grad_(), X.requires_grad_()
    both = []
    for backend in ("flex", "eager"):
        out = gradient(energy, xi, X, mask=mask, field=field, backend=backend)
        both.append([out, *torch.autograd.grad(out.square().sum(), [xi, X])])
    for got, want in zip(*both, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-3)
