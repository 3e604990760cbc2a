"""Formulas that a program writes: candidates, their grammar, random ones and variations."""

from attenergy.search.discovery.formulas.candidate import (
    PARAMETERS,
    SYMBOLS,
    Candidate,
    reason_against,
)
from attenergy.search.discovery.formulas.convexity import quadratic_part
from attenergy.search.discovery.formulas.generate import random_candidate
from attenergy.search.discovery.formulas.grammar import Grammar
from attenergy.search.discovery.formulas.variation import OPERATIONS, Operation, vary

__all__ = [
    "OPERATIONS",
    "PARAMETERS",
    "SYMBOLS",
    "Candidate",
    "Grammar",
    "Operation",
    "quadratic_part",
    "random_candidate",
    "reason_against",
    "vary",
]
