"""Answers known without the toolkit: each compares an energy with an independent right-hand side.

An entry names those that hold for it under `known_answers`. A function takes the entry and returns
the largest error and the tolerance that it must keep. A module of this folder is a family; its
functions are listed in its `ANSWERS`.
"""

from __future__ import annotations

from collections.abc import Callable

from attenergy.registry import EnergySpec
from attenergy.testing.known_answers import (
    attention,
    feature_memories,
    graphs,
    hidden_graph,
    hidden_units,
    memories,
    n_vector,
    polynomials,
    sparse_memories,
    spherical_spins,
    spins,
    tokens,
)

Answer = Callable[[EnergySpec], tuple[float, float]]

_FAMILIES: tuple[tuple[Answer, ...], ...] = (
    attention.ANSWERS,
    hidden_units.ANSWERS,
    graphs.ANSWERS,
    spins.ANSWERS,
    spherical_spins.ANSWERS,
    n_vector.ANSWERS,
    hidden_graph.ANSWERS,
    memories.ANSWERS,
    polynomials.ANSWERS,
    sparse_memories.ANSWERS,
    tokens.ANSWERS,
    feature_memories.ANSWERS,
)

KNOWN_ANSWERS: dict[str, Answer] = {
    answer.__name__: answer for family in _FAMILIES for answer in family
}
