"""The score 1 - cos(x, x + f), as another function gives it."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cosine_similarity
from torch.testing import assert_close

from attenergy.analysis.dropping.scores import _turned


@pytest.mark.parametrize("size", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_score_is_that_of_the_cosine(size: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, f = torch.randn(2, 5, 7, 16).double()
    f = size * f
    truth = 1 - cosine_similarity(x, x + f, dim=-1)
    rtol = {torch.float32: 1e-4, torch.float64: 1e-8}[dtype]
    assert_close(_turned(x.to(dtype), f.to(dtype)), truth, rtol=rtol, atol=0)


def test_ends() -> None:
    x = torch.tensor([[1.0, 0], [1, 0], [1, 0], [0, 0], [0, 0], [1, 0]]).double()
    f = torch.tensor([[0.0, 0], [-2, 0], [-1, 1], [0, 0], [0, 3], [-1, 0]]).double()
    assert_close(_turned(x, f), torch.tensor([0.0, 2, 1, 0, 1, 1]).double())
    small = torch.full((1, 4), 1.0).bfloat16()
    assert float(_turned(small, 0 * small)) == 0
