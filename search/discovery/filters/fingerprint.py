"""Numbers that are equal for energies that are equal in other words.

Equal means: the same set of updates -grad E over all values of the positive parameters, up to a
positive scale of the energy and a shift (`gauge`). So `lse(beta*X @ xi)/beta` and
`log(sum_n(exp(2*kappa*X @ xi)))/kappa` have one fingerprint, and no two different entries of the
registry have.
"""

from __future__ import annotations

import string
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import torch
from torch import Tensor

from attenergy.registry import ArgumentError
from attenergy.search.discovery.filters.behaviour import niche_of
from attenergy.search.discovery.filters.families import Family, FormulaFamily
from attenergy.search.discovery.filters.gauge import project, references
from attenergy.search.discovery.formulas import Candidate

#: A key writes this many numbers, each with this step, two letters for each.
_NUMBERS, _STEP = 16, 8e-3
#: Digits of the values; studies write down as many.
_DIGITS = 4
_LETTERS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
_MIDDLE = len(_LETTERS) ** 2 // 2


@dataclass(frozen=True)
class Fingerprint:
    """What an energy does, whatever it is called.

    Attributes:
        values: the unit updates nearest to the references, one after another.
        niche: bins of sharpness, forgetting and hollowness (`behaviour`).

    Example:
        >>> from attenergy.search.discovery.filters.fingerprint import Fingerprint
        >>> Fingerprint((1.0, 0.0), (1, 2, 0)).distance(Fingerprint((0.0, 1.0), (0, 0, 0)))
        1.4142135623730951
    """

    values: tuple[float, ...]
    niche: tuple[int, ...] = ()

    @cached_property
    def key(self) -> str:
        """Coarse numbers as 32 letters; compare them with `same_key`."""
        values = torch.tensor(self.values, dtype=torch.float64, device="cpu")
        numbers = (_mixing(len(values)) @ values / _STEP).round().clamp(-_MIDDLE, _MIDDLE - 1)
        places = [int(number) + _MIDDLE for number in numbers]
        base = len(_LETTERS)
        return "".join(_LETTERS[place // base] + _LETTERS[place % base] for place in places)

    def distance(self, other: Fingerprint) -> float:
        """Root mean square over the references of |u - v|, between 0 and 2.

        Raises:
            ValueError: the fingerprints are of different lengths.
        """
        if len(self.values) != len(other.values):
            raise ArgumentError(
                f"fingerprints of {len(self.values)} and {len(other.values)} numbers; both must "
                "come from the same version",
                topic="record-file",
            )
        pairs = zip(self.values, other.values, strict=True)
        fields = max(1, len(self.values) // references().shape[1])
        return float((sum((a - b) ** 2 for a, b in pairs) / fields) ** 0.5)


def same_key(key: str, other: str) -> bool:
    """Whether two keys are equal up to a step in each number, which rounding may take.

    Example:
        >>> from attenergy.search.discovery.filters.fingerprint import same_key
        >>> same_key("Ag", "Ah"), same_key("Ag", "Ai"), same_key("A_", "BA")
        (True, False, True)
    """
    if key == other:
        return True
    if len(key) != len(other):
        return False
    return all(abs(a - b) <= 1 for a, b in zip(_places(key), _places(other), strict=True))


def is_known(key: str, known: Iterable[str]) -> bool:
    """Whether one of the known keys is the same.

    Example:
        >>> from attenergy.search.discovery.filters.fingerprint import is_known
        >>> is_known("Ag", {"Ah"}), is_known("Ag", ())
        (True, False)
    """
    return any(same_key(key, other) for other in known)


def fingerprint_of(candidate: Candidate) -> Fingerprint | None:
    """The fingerprint of a candidate; None if it has no finite update that is not 0."""
    family = FormulaFamily.of(candidate.tree)
    nearest = project(family)
    if nearest is None:
        return None
    settings, fields = nearest
    return Fingerprint(_numbers(fields), niche_of(family, settings[0]))


def fingerprint_of_family(family: Family) -> Fingerprint | None:
    """The same of any family of updates, without a niche."""
    nearest = project(family)
    return None if nearest is None else Fingerprint(_numbers(nearest[1]))


def _numbers(fields: Tensor) -> tuple[float, ...]:
    """As many digits as are written down, so that what is read back is the same."""
    return tuple(round(value, _DIGITS) for value in fields.nan_to_num(0.0).flatten().tolist())


@lru_cache(maxsize=2**16)
def _places(key: str) -> tuple[int, ...]:
    digits = [_LETTERS.find(letter) for letter in key]
    return tuple(len(_LETTERS) * a + b for a, b in zip(digits[::2], digits[1::2], strict=False))


@cache
def _mixing(length: int) -> Tensor:
    """Fixed random directions (numbers, length), each entry of variance 1/5."""
    generator = torch.Generator("cpu").manual_seed(82)
    shape = (_NUMBERS, length)
    drawn = torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
    mixing: Tensor = drawn / len(references()) ** 0.5
    return mixing
