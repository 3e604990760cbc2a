"""A candidate as the filters see it: its normal form, and the settings at which it is looked at."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from itertools import product

import torch
from torch import Tensor

from attenergy.energies.language import Expr, stable_form
from attenergy.energies.parameters import initial_value
from attenergy.search.discovery.filters.families import FormulaFamily, parameters_of
from attenergy.search.discovery.filters.fingerprint import Fingerprint, fingerprint_of
from attenergy.search.discovery.filters.probes import DIM
from attenergy.search.discovery.formulas import PARAMETERS, Candidate


class Subject:
    """What the filters share about one candidate; each part is computed when it is first read.

    Attributes:
        descends: whether the entry may promise that no step raises the energy; set by "laws".

    Example:
        >>> from attenergy.search.discovery.filters.subject import Subject
        >>> from attenergy.search.discovery.formulas import Candidate
        >>> Subject(Candidate.from_formula("0.5*|xi|^2 - lse(beta*X @ xi)/beta")).settings.exp()
        tensor([[ 0.5774],
                [ 0.1000],
                [ 1.0000],
                [10.0000]], dtype=torch.float64)
    """

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.descends = False

    @cached_property
    def tree(self) -> Expr:
        """The tree as the compiler takes it."""
        return stable_form(self.candidate.tree)

    @cached_property
    def family(self) -> FormulaFamily:
        """The tree with all its parameters free."""
        return FormulaFamily(self.tree, parameters_of(self.tree))

    @cached_property
    def first(self) -> Tensor:
        """The setting (1, parameters) at which training begins."""
        return self.settings[:1]

    @cached_property
    def settings(self) -> Tensor:
        """The first setting, each parameter alone at its ends, and the corners of all ranges."""
        points = torch.tensor(
            list(dict.fromkeys(self._points())), dtype=torch.float64, device="cpu"
        )
        return points.reshape(len(points), self.family.freedom).log()

    @cached_property
    def fingerprint(self) -> Fingerprint | None:
        """What the energy does, whatever it is called."""
        return fingerprint_of(self.candidate)

    def _points(self) -> Iterator[tuple[float, ...]]:
        ranges = [_range(name) for name in self.family.positive]
        start = tuple(first for _, first, _ in ranges)
        yield start
        for place, (low, _, high) in enumerate(ranges):
            for value in (low, math.sqrt(low * high), high):
                yield (*start[:place], value, *start[place + 1 :])
        yield from product(*((low, high) for low, _, high in ranges))


def _range(name: str) -> tuple[float, float, float]:
    """Least, first and largest value of a parameter."""
    parameter = PARAMETERS[name]
    first = initial_value(name, parameter, DIM, None)
    span = parameter.search
    if span is None or span.low is None or span.high is None:
        return 0.1 * first, first, 10.0 * first
    return float(span.low), first, float(span.high)
