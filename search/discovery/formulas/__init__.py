"""Formulas that a program writes: candidates, their grammar, random ones and variations."""

from attenergy.search.discovery.formulas.candidate import (
    PARAMETERS,
    SYMBOLS,
    Candidate,
    reason_against,
)
from attenergy.search.discovery.formulas.convexity import quadratic_part
from attenergy.search.discovery.formulas.grammar import Grammar

__all__ = ["PARAMETERS", "SYMBOLS", "Candidate", "Grammar", "quadratic_part", "reason_against"]
