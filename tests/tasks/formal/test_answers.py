"""Every kind of word against a second, obvious way to answer it."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from functools import reduce

import pytest
import torch

from attenergy.tasks import (
    IGNORE,
    BracketedArithmetic,
    Dyck,
    FormalLanguage,
    GroupWords,
    StringTransduction,
)
from attenergy.tasks.formal.dyck import opening_probabilities


def read(task, split: str, count: int) -> list[tuple[list[str], list[str]]]:
    """Words and answers as people see them."""
    values = []
    for index in range(count):
        sample = task.sample(split, index)
        inputs = [sample.names[x] for x in sample.tokens if x != 1]
        values.append((inputs, [sample.answers[x] for x in sample.targets if x != IGNORE]))
    return values


def even_pairs(word: list[str]) -> str:
    changes = sum({a, b} == {"a", "b"} for a, b in itertools.pairwise(word))
    return "even" if changes % 2 == 0 else "odd"


def value(word: list[str]) -> str:
    """Precedence by splitting: a sum of signed products."""
    terms = "".join(word).replace("-", "+-").split("+")
    products = [
        math.prod(int(x) for x in term.lstrip("-").split("*")) * (-1) ** term.count("-")
        for term in terms
    ]
    return str(sum(products) % 5)


VERDICTS = {
    "parity": lambda word: "odd" if word.count("1") % 2 else "even",
    "even-pairs": even_pairs,
    "cycle-navigation": lambda word: str((word.count("+") - word.count("-")) % 5),
    "modular-arithmetic": value,
}


@pytest.mark.parametrize("language", VERDICTS)
@pytest.mark.parametrize("split", ["train", "long"])
def test_formal_languages(language: str, split: str) -> None:
    task = FormalLanguage(language=language, shortest=1, longest=15, long=40)
    for word, answers in read(task, split, 120):
        assert answers == [VERDICTS[language](word)]


def test_alphabets_and_where_operators_stand(looks_uniform) -> None:
    task = FormalLanguage(language="modular-arithmetic", shortest=5, longest=5, long=7)
    assert task.inputs.length == 8
    rows = task.batch("train", 0, 4000).inputs
    assert looks_uniform(rows[:, 2] - 2, 5)
    assert looks_uniform(rows[:, 3] - 7, 3)
    assert (rows[:, 5] == 1).all()


def test_parity_and_navigation_are_balanced(looks_uniform) -> None:
    for language, classes in (("parity", 2), ("even-pairs", 2), ("cycle-navigation", 5)):
        task = FormalLanguage(language=language, shortest=20, longest=30, long=31)
        targets = task.batch("train", 0, 4000).targets
        assert looks_uniform(targets[targets != IGNORE], classes)


def parsed(word: list[str]) -> int:
    """Recursive descent: E = digit | -E | ( E ) | ( E op E ), the sign binding to a digit alone."""

    def expression(at: int) -> tuple[int, int]:
        if word[at] == "-":
            return -int(word[at + 1]), at + 2
        if word[at] != "(":
            return int(word[at]), at + 1
        left, at = expression(at + 1)
        if word[at] == ")":
            return left, at + 1
        right, end = expression(at + 1)
        assert word[end] == ")"
        value = {"+": left + right, "-": left - right, "*": left * right}[word[at]]
        return value, end + 1

    result, end = expression(0)
    assert end == len(word)
    return result % 5


@pytest.mark.parametrize("split", ["train", "long"])
def test_bracketed_arithmetic(split: str) -> None:
    task = BracketedArithmetic(shortest=1, longest=30, long=60)
    for word, answers in read(task, split, 150):
        assert answers == [str(parsed(word))]


def test_bracketed_expressions_have_their_odds() -> None:
    # Of 9 symbols: the left part has 1..5 of them, so (d op (d op d)) is one of five shapes, and
    # those with parts of 1 and 5 symbols have the second split in one way.
    task = BracketedArithmetic(shortest=9, longest=9, long=10)
    shapes: Counter[str] = Counter()
    for word, _ in read(task, "train", 3000):
        shapes["".join("d" if x.isdigit() else "o" if x in "+*" else x for x in word)] += 1
    lengths: Counter[int] = Counter()
    for shape, count in shapes.items():
        plain = shape.replace("-", "o")
        depth = list(itertools.accumulate((x == "(") - (x == ")") for x in plain))
        # The operator of the outermost brackets: at depth 1, after a digit or a bracket.
        places = [
            i for i, x in enumerate(plain) if x == "o" and depth[i] == 1 and plain[i - 1] in "d)"
        ]
        assert len(places) == 1
        lengths[places[0] - 1] += count
    assert sorted(lengths) == [1, 2, 3, 4, 5]
    assert all(abs(count - 600) < 5 * (3000 * 0.2 * 0.8) ** 0.5 for count in lengths.values())


OPERATIONS = {
    "reverse": lambda word: word[::-1],
    "duplicate": lambda word: word + word,
    "sort": sorted,
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("split", ["train", "long"])
def test_string_transduction(operation: str, split: str) -> None:
    task = StringTransduction(operation=operation, symbols=4, shortest=2, longest=12, long=25)
    for word, answers in read(task, split, 120):
        assert answers == OPERATIONS[operation](word)
        assert len(word) > 12 or split == "train"


def product(p: str, q: str) -> str:
    return "".join(q[int(x)] for x in p)


@pytest.mark.parametrize(("group", "order"), [("S3", 6), ("S5", 120), ("A5", 60)])
def test_permutation_words(group: str, order: int) -> None:
    task = GroupWords(group=group, shortest=2, longest=8, long=20)
    assert task.outputs.size == order
    assert set(task.symbols) <= set(map("".join, itertools.permutations(task.symbols[0])))
    for word, answers in read(task, "long", 60):
        assert answers == [reduce(product, word[:t]) for t in range(1, len(word) + 1)]


def test_words_of_numbers() -> None:
    task = GroupWords(group="Z60", shortest=2, longest=8, long=20)
    for word, answers in read(task, "train", 60):
        digits = ["".join(x) for x in answers]
        assert [int(x) for x in digits] == [
            sum(map(int, word[:t])) % 60 for t in range(1, len(word) + 1)
        ]


@pytest.mark.parametrize(
    ("group", "order", "abelian", "orders"),
    [
        ("S3", 6, False, {1: 1, 2: 3, 3: 2}),
        ("S5", 120, False, {1: 1, 2: 25, 3: 20, 4: 30, 5: 24, 6: 20}),
        ("A5", 60, False, {1: 1, 2: 15, 3: 20, 5: 24}),
        ("A4xZ5", 60, False, {1: 1, 2: 3, 3: 8, 5: 4, 10: 12, 15: 32}),
        ("Z60", 60, True, {d: sum(math.gcd(k, d) == 1 for k in range(1, d + 1)) for d in
                           (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60)}),
    ],
)  # fmt: skip
def test_tables_are_those_of_the_groups(group, order, abelian, orders) -> None:
    table = GroupWords(group=group).table
    assert table.shape == (order, order)
    elements = torch.arange(order)
    assert torch.equal(table[0], elements)
    assert torch.equal(table[:, 0], elements)
    assert torch.equal(table.sort(0).values, elements[:, None].expand(-1, order))
    assert torch.equal(table[table], table[elements[:, None, None], table])  # associative
    assert torch.equal(table, table.T) == abelian
    counts: Counter[int] = Counter()
    for element in range(order):
        power, count = element, 1
        while power:
            power, count = int(table[power, element]), count + 1
        counts[count] += 1
    assert counts == orders


def closers(word: list[str]) -> list[str]:
    pairs = {"(": ")", "[": "]", "{": "}"}
    stack: list[str] = []
    closing = []
    for bracket in word:
        if bracket in pairs:
            stack.append(pairs[bracket])
        else:
            assert stack.pop() == bracket
            closing.append(stack[-1] if stack else "none")
        assert len(stack) <= 4
    assert not stack
    return closing


@pytest.mark.parametrize("split", ["train", "long"])
def test_dyck(split: str) -> None:
    task = Dyck(types=3, depth=4, shortest=2, longest=20, long=50)
    depths = []
    for word, answers in read(task, split, 150):
        assert answers == closers(word)
        depths.append(max(itertools.accumulate(1 if x in "([{" else -1 for x in word)))
    assert max(depths) == 4


def test_dyck_words_are_uniform(looks_uniform) -> None:
    # Paths of 8 steps that stay within 0..3: 13 of the 14 Catalan paths. Two types: 2^4 each.
    task = Dyck(types=2, depth=3, shortest=8, longest=8, long=10)
    drawn = task.draw(torch.full((20_000,), 8), 8, torch.Generator().manual_seed(0))
    number: dict[tuple[int, ...], int] = {}
    ids = [number.setdefault(tuple(row), len(number)) for row in drawn.tolist()]
    assert len(number) == 13 * 16
    assert looks_uniform(torch.tensor(ids), 13 * 16)


def test_opening_probabilities_are_ratios_of_numbers_of_paths() -> None:
    def paths(steps: int, height: int) -> int:
        if not 0 <= height <= 3 or steps == 0:
            return int(steps == height == 0)
        return paths(steps - 1, height + 1) + paths(steps - 1, height - 1)

    shares = opening_probabilities(3, 9)
    for steps, height in itertools.product(range(1, 10), range(4)):
        if all_of := paths(steps, height):
            expected = paths(steps - 1, height + 1) / all_of
            assert shares[steps, height] == pytest.approx(expected, abs=1e-12)


def test_opening_probabilities_stay_finite_in_long_words() -> None:
    shares = opening_probabilities(2, 3000)  # of 2^3000 paths a share of 2^-1500 stays inside
    assert shares[3000].tolist() == [1.0, 0.0, 0.0]
    assert shares[2999].tolist() == [0.0, 0.5, 0.0]
