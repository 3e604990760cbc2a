"""Random ListOps trees, drawn and evaluated level by level for many trees at once (numpy)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

Ints = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

LEAF_CHANCE = 0.75
OPERATORS = ("MIN", "MAX", "MED", "SM")
# Codes of tokens: digits are themselves, then the operators, then the closing bracket.
FIRST_OPERATOR, CLOSE = 10, 14
MEDIAN, SUM = FIRST_OPERATOR + 2, FIRST_OPERATOR + 3


@dataclass(frozen=True)
class Level:
    """All nodes of one depth, those of one tree side by side, those of one parent in order.

    `tree` is the tree of each node, `code` its digit or operator, `children` how many it has: its
    children are the next so many nodes of the next level.
    """

    tree: Ints
    code: Ints
    children: Ints


def grow(count: int, *, depth: int, most: int, random: Generator) -> list[Level]:
    """Draw `count` trees: the levels from the roots down.

    A node above level `depth` is a leaf with probability 3/4, one on it always is. A leaf is a
    digit 0-9, any other node one of four operators on 2..`most` children, all uniform.
    """
    levels = []
    tree = np.arange(count)
    for level in range(1, depth + 1):
        inner = random.random(len(tree)) >= LEAF_CHANCE
        if level == depth:
            inner[:] = False
        children = np.where(inner, random.integers(2, most + 1, len(tree)), 0)
        operator = random.integers(FIRST_OPERATOR, CLOSE, len(tree))
        digit = random.integers(0, 10, len(tree))
        levels.append(Level(tree, np.where(inner, operator, digit), children))
        tree = np.repeat(tree, children)
        if not len(tree):
            break
    return levels


def lengths_of(levels: list[Level], count: int) -> Ints:
    """Tokens of every tree: 1 for a leaf, 2 for an operator (its own and its bracket)."""
    lengths = np.zeros(count, dtype=np.int64)
    for level in levels:
        lengths += np.bincount(level.tree, 1 + (level.children > 0), count).astype(np.int64)
    return lengths


def select(levels: list[Level], wanted: Bools) -> list[Level]:
    """Keep the trees that are `wanted`, numbered anew from 0."""
    number = np.cumsum(wanted) - 1
    chosen_levels = []
    for level in levels:
        chosen = wanted[level.tree]
        if not chosen.any():
            break
        chosen_levels.append(
            Level(number[level.tree[chosen]], level.code[chosen], level.children[chosen])
        )
    return chosen_levels


def evaluate(levels: list[Level]) -> Ints:
    """Value of every tree, 0-9: minimum, maximum, whole part of the median, or sum modulo 10."""
    values = np.zeros(0, dtype=np.int64)
    for level in reversed(levels):
        inner = level.children > 0
        own = level.code.copy()
        if inner.any():
            own[inner] = _apply(level.code[inner], level.children[inner], values)
        values = own
    return values


def _apply(operator: Ints, children: Ints, values: Ints) -> Ints:
    """Apply each operator to the next so many of `values`."""
    starts = np.cumsum(children) - children
    parent = np.repeat(np.arange(len(children)), children)
    ordered = values[np.argsort(parent * 10 + values, kind="stable")]
    low, high = ordered[starts + (children - 1) // 2], ordered[starts + children // 2]
    least, most = ordered[starts], ordered[starts + children - 1]
    # In the order of OPERATORS.
    results = (least, most, (low + high) // 2, np.add.reduceat(values, starts) % 10)
    return np.choose(operator - FIRST_OPERATOR, results)


def write(levels: list[Level], lengths: Ints) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Tokens of every tree in prefix order, (N, longest): codes + 1, and 0 beyond the end.

    An operator stands before its first child, a closing bracket after the last one.
    """
    tokens = np.zeros((len(lengths), int(lengths.max(initial=1))), dtype=np.uint8)
    place = np.zeros(len(lengths), dtype=np.int64)
    sizes = _sizes(levels)
    for number, (level, size) in enumerate(zip(levels, sizes, strict=True)):
        tokens[level.tree, place] = level.code + 1
        inner = level.children > 0
        tokens[level.tree[inner], (place + size - 1)[inner]] = CLOSE + 1
        if inner.any():
            children = level.children[inner]
            earlier = np.cumsum(sizes[number + 1]) - sizes[number + 1]
            first = earlier[np.cumsum(children) - children]
            place = np.repeat(place[inner] + 1 - first, children) + earlier
    return tokens


def _sizes(levels: list[Level]) -> list[Ints]:
    """Tokens of every node with all below it, for each level."""
    sizes: list[Ints] = []
    for level in reversed(levels):
        size = np.ones_like(level.code)
        inner = level.children > 0
        if inner.any():
            starts = np.cumsum(level.children[inner]) - level.children[inner]
            size[inner] = 2 + np.add.reduceat(sizes[-1], starts)
        sizes.append(size)
    return sizes[::-1]
