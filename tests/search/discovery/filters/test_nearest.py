"""Every entry of the registry is what it is, in any words; different entries differ."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

import attenergy
from attenergy.energies.language import Call, Number, call
from attenergy.registry import ArgumentError
from attenergy.search.discovery.filters import (
    Fingerprint,
    fingerprint_of,
    known_fingerprints,
    nearest_known,
    same_key,
)
from attenergy.search.discovery.filters.families import FormulaFamily
from attenergy.search.discovery.filters.fingerprint import fingerprint_of_family
from attenergy.search.discovery.filters.nearest import family_of_entry
from attenergy.search.discovery.formulas import Candidate

REGISTRY = attenergy.load_registry(plugins=False)
CLASSES = ("elliptical", "uhop", "ham", "energy_transformer", "vector_spins")
FORMULAS = [name for name, spec in REGISTRY.energies.items() if spec.formula]
#: Without the classes that take about a second each.
SMALL = dataclasses.replace(
    REGISTRY, energies={name: REGISTRY.energies[name] for name in (*FORMULAS, *CLASSES)}
)
CANDIDATES = [name for name in FORMULAS if Candidate.from_entry(REGISTRY.energies[name])]

#: Entries that are equal up to parameters, and why.
SAME = {
    frozenset({"classical_hopfield", "biased_hopfield"}): "the bias b is 0 at first",
    frozenset({"lse", "uhop"}): "the map Phi of scores is the identity at first",
    frozenset({"lse", "ham"}): "with one softmax layer the hidden units can be eliminated",
    frozenset({"uhop", "ham"}): "both are log-sum-exp",
    frozenset({"l2_lse", "elliptical"}): "the metric A is the identity at first",
}
#: Sparse weights whose second parameter makes many settings nearly equally near to a reference:
#: which is taken depends on how they are written (`gauge`). It is held at its first value here.
HELD = {"entmax": 0.5, "normmax": 1.0}
#: Sharpness, forgetting and hollowness of well known entries (`behaviour`).
NICHES = {
    "lse": (3, 1, 1),
    "sparsemax": (3, 1, 1),
    "zero_sink": (3, 1, 1),
    "rbm": (2, 1, 2),
    "l2_lse": (2, 2, 1),
    "linear_attention": (2, 2, 1),
    "lsr": (1, 3, 0),
}


@pytest.fixture(scope="module")
def prints() -> dict[str, Fingerprint]:
    return known_fingerprints(SMALL)


def differ(prints: dict[str, Fingerprint]) -> None:
    for (a, one), (b, other) in itertools.combinations(prints.items(), 2):
        equal = frozenset({a, b}) in SAME
        assert same_key(one.key, other.key) == equal, (a, b)
        assert (one.distance(other) < 1e-3) == equal, (a, b)
        assert equal or one.distance(other) > 0.03, (a, b)


@pytest.mark.long
def test_different_entries_differ(prints):
    differ(prints)
    assert set(prints) == {*FORMULAS, "elliptical", "uhop", "ham"}  # others read no patterns


@pytest.mark.slow
def test_all_entries_differ():
    prints = known_fingerprints(REGISTRY)
    assert {*FORMULAS, "continuous_time", "boltzmann", "learned"} < set(prints)
    differ(prints)


@pytest.mark.parametrize("name", FORMULAS)
def test_an_entry_in_other_words(name):
    """Scaled, shifted, and with other parameters: beta is a square here, or a product of two."""
    family = family_of_entry(REGISTRY.energies[name])
    assert isinstance(family, FormulaFamily)
    if name in HELD:
        family = FormulaFamily(family.tree, ("beta",), fixed={"excess": HELD[name]})
    want = fingerprint_of_family(family)
    symbols = {p: _symbol(family.tree, p) for p in family.positive}
    for change in (lambda p: p * 2.0, lambda p: p**2.0, lambda p: 1.0 / p):
        tree = _replaced(family.tree, {p: change(s) for p, s in symbols.items()})
        other = FormulaFamily(3.0 * tree + 7.0, family.positive, family.unit, family.fixed)
        got = fingerprint_of_family(other)
        assert same_key(want.key, got.key), (name, want.distance(got))


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_candidate_finds_its_entry(name):
    candidate = Candidate.from_entry(REGISTRY.energies[name])
    got = nearest_known(fingerprint_of(candidate), SMALL)
    assert got.name == name
    # A candidate's parameters are all above 0, so one between 0 and 1 becomes a number.
    assert (got.distance < 1e-3) == (name != "entmax")


@pytest.mark.parametrize("name", NICHES)
def test_entries_live_in_sensible_niches(name):
    candidate = Candidate.from_entry(REGISTRY.energies[name])
    assert fingerprint_of(candidate).niche == NICHES[name]


def test_nothing_is_near_in_an_empty_registry():
    empty = dataclasses.replace(REGISTRY, energies={})
    with pytest.raises(ArgumentError, match="no entry"):
        nearest_known(Fingerprint((1.0,)), empty)


def _symbol(tree, name):
    if not isinstance(tree, Call):
        return tree
    return next(_symbol(arg, name) for arg in tree.args if name in arg.names)


def _replaced(tree, values):
    """The tree with other nodes in the places of symbols, not simplified."""
    if isinstance(tree, Call):
        return call(tree.function, *(_replaced(arg, values) for arg in tree.args))
    return tree if isinstance(tree, Number) else values.get(tree.name, tree)
