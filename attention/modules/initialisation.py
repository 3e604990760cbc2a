"""Initial weights of linear maps."""

from __future__ import annotations

from torch import Tensor, nn

# Standard deviation that is left of a unit normal after cutting it off at -2 and 2.
_CUT_STD = 0.87962566103423978


def lecun_normal_(weight: Tensor) -> Tensor:
    """Fill `weight` in place with w ~ N(0, sigma^2) cut off at +-2 sigma, Var[w] = 1/fan_in.

    sigma = fan_in^(-1/2) / 0.8796..., which makes up for the variance lost by the cut, so that a
    linear map keeps the mean square of its input.

    Args:
        weight: (out, fan_in), as in `nn.Linear`.

    Returns:
        The same tensor.

    Source: LeCun et al. 1998, "Efficient BackProp".
    """
    sigma = weight.shape[1] ** -0.5 / _CUT_STD
    return nn.init.trunc_normal_(weight, std=sigma, a=-2 * sigma, b=2 * sigma)


def dense(fan_in: int, out: int, bias: bool = True) -> nn.Linear:
    """Return y = W x + b with a LeCun-normal W (out, fan_in) and b = 0."""
    linear = nn.Linear(fan_in, out, bias=bias)
    lecun_normal_(linear.weight)
    if bias:
        nn.init.zeros_(linear.bias)
    return linear
