"""How a stored pattern is damaged before it is recalled."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from attenergy.attention.modules.arguments import check_from_zero, is_number
from attenergy.registry import ArgumentTypeError, RecallError, nearest

#: From patterns (n, D) and a source of random numbers to as many damaged ones.
Damage = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Noise:
    """One kind of damage and how much of it; calling it damages patterns (n, D).

    Attributes:
        kind: `gaussian`, `masked` or `flips`; a function's own name.
        amount: sigma or a share; nan where the kind has none.
        damage: what does it.
    """

    kind: str
    amount: float
    damage: Damage

    def __call__(self, patterns: Tensor, generator: torch.Generator) -> Tensor:
        """Damaged copies.

        Raises:
            ValueError: they have another shape, or are not finite.
        """
        states = self.damage(patterns, generator)
        if not isinstance(states, Tensor) or states.shape != patterns.shape:
            got = tuple(states.shape) if isinstance(states, Tensor) else type(states).__name__
            raise RecallError(f"noise must keep the shape {tuple(patterns.shape)}, got {got}")
        if not states.isfinite().all():
            raise RecallError("noise must give finite numbers, got infinity or nan")
        return states

    def __str__(self) -> str:
        return self.kind if math.isnan(self.amount) else f"{self.kind}({self.amount:g})"


def gaussian(sigma: float) -> Noise:
    """Add sigma N(0, 1) to every component.

    Raises:
        ValueError: sigma is below 0 or not finite.
    """
    check_from_zero("sigma", sigma)

    def damage(patterns: Tensor, generator: torch.Generator) -> Tensor:
        return patterns + sigma * _draws(torch.randn, patterns, generator)

    return Noise("gaussian", float(sigma), damage)


def masked(fraction: float) -> Noise:
    """0 in a random share of the components, floor(fraction D + 1/2) of them in each pattern.

    Raises:
        ValueError: no share from 0 to 1.
    """
    _check_fraction(fraction)

    def damage(patterns: Tensor, generator: torch.Generator) -> Tensor:
        return torch.where(_chosen(patterns, fraction, generator), 0.0, patterns)

    return Noise("masked", float(fraction), damage)


def flips(fraction: float) -> Noise:
    """-x in a random share of the components, floor(fraction D + 1/2) of them in each pattern.

    Raises:
        ValueError: no share from 0 to 1.
    """
    _check_fraction(fraction)

    def damage(patterns: Tensor, generator: torch.Generator) -> Tensor:
        return torch.where(_chosen(patterns, fraction, generator), -patterns, patterns)

    return Noise("flips", float(fraction), damage)


#: What a text may name, as in "masked(0.5)".
NOISES: dict[str, Callable[[float], Noise]] = {
    "gaussian": gaussian,
    "masked": masked,
    "flips": flips,
}


def noise_of(given: Noise | Damage | str) -> Noise:
    """A noise, from one, from a text such as `masked(0.5)`, or from a function of your own.

    Raises:
        TypeError: it is none of these.
        ValueError: the text names no noise, or its number does not fit.
    """
    if isinstance(given, Noise):
        return given
    if isinstance(given, str):
        return _read(given)
    if not callable(given):
        raise ArgumentTypeError(
            "noise must be a text such as 'gaussian(0.1)', 'masked(0.5)' or 'flips(0.1)', or a "
            f"function of patterns and a torch.Generator, got {type(given).__name__}",
            topic="memory",
        )
    return Noise(getattr(given, "__name__", type(given).__name__), math.nan, given)


def _read(text: str) -> Noise:
    parts = re.fullmatch(r"\s*(\w+)\s*\(\s*([-+.\w]+)\s*\)\s*", text)
    kinds = ", ".join(f"{name}(...)" for name in NOISES)
    if parts is None or parts[1] not in NOISES:
        name = parts[1] if parts else re.split(r"\W", text.strip(), maxsplit=1)[0]
        hint = nearest(name, NOISES)
        raise RecallError(
            f"noise must be one of {kinds}, got {text!r}{f' ({hint})' if hint else ''}"
        )
    try:
        amount = float(parts[2])
    except ValueError:
        raise RecallError(f"noise {text!r}: {parts[2]!r} is no number") from None
    return NOISES[parts[1]](amount)


def _check_fraction(fraction: float) -> None:
    if not is_number(fraction) or not 0 <= fraction <= 1:
        raise RecallError(f"fraction must lie between 0 and 1, got {fraction!r}")


def _chosen(patterns: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
    """A random choice of floor(fraction D + 1/2) components in every pattern."""
    ranks = _draws(torch.rand, patterns, generator).argsort(-1).argsort(-1)
    return ranks < math.floor(fraction * patterns.shape[-1] + 0.5)


def _draws(draw: Callable[..., Tensor], patterns: Tensor, generator: torch.Generator) -> Tensor:
    """Random numbers of the patterns' shape; drawn on the CPU, alike on every device."""
    numbers = draw(patterns.shape, generator=generator, dtype=torch.float64)
    return numbers.to(patterns)
