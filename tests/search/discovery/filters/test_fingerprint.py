"""Energies that are equal in other words have one fingerprint; all others differ."""

from __future__ import annotations

import itertools
import json

import pytest

from attenergy.search.discovery.filters.fingerprint import (
    Fingerprint,
    fingerprint_of,
    is_known,
    same_key,
)

SOFTMAX = "0.5*|xi|^2 - lse(beta*X @ xi)/beta"
EQUAL = {
    "another name": "0.5*|xi|^2 - lse(alpha*X @ xi)/alpha",
    "another parameter": "0.5*|xi|^2 - lse(2*kappa*X @ xi)/(2*kappa)",
    "its square": "0.5*|xi|^2 - lse(alpha^2*X @ xi)/alpha^2",
    "its inverse": "0.5*|xi|^2 - alpha*lse(X @ xi/alpha)",
    "written out": "0.5*|xi|^2 - log(sum_n(exp(beta*X @ xi)))/beta",
    "scale and shift": "3*(0.5*|xi|^2 - lse(beta*X @ xi)/beta) + 7",
    "a scale with a parameter": "beta*(0.5*|xi|^2 - lse(beta*X @ xi)/beta)",
    "a product of two": "0.5*|xi|^2 - lse(alpha*beta*X @ xi)/(alpha*beta)",
    "one too many": "0.5*kappa*|xi|^2 - kappa*lse(alpha*beta*X @ xi)/(alpha*beta)",
    "a term of the patterns": "0.5*|xi|^2 - lse(beta*X @ xi)/beta + sum_n(sum_d(X^2))",
}
OTHERS = [
    SOFTMAX,
    "0.5*|xi|^2 - lse(X @ xi)",
    "0.5*|xi|^2 - 3*lse(beta*X @ xi)/beta",
    "lse(beta*X @ xi)/beta - 0.5*|xi|^2",
    "-log(sum_n(exp(-0.5*beta*sqdist(X, xi))))/beta",
    "0.5*|xi|^2 - softplus(lse(beta*X @ xi))/beta",
    "0.5*|xi|^2 - sum_n(softplus(beta*X @ xi))/beta",
    "0.5*|xi|^2 - sum_n(relu(X @ xi)^3)",
    "0.5*|xi|^2 - sparsemax_conj(beta*X @ xi)/beta",
    "0.5*|xi|^2 - kappa*lse(beta*X @ xi)/beta",
    "0.25*|xi|^4 - lse(beta*X @ xi)/beta",
]


@pytest.mark.parametrize("text", EQUAL.values(), ids=EQUAL)
def test_equal_in_other_words(candidate, text):
    want, got = fingerprint_of(candidate(SOFTMAX)), fingerprint_of(candidate(text))
    assert want.distance(got) < 1e-3
    assert same_key(want.key, got.key)
    assert want.niche == got.niche


def test_two_free_parameters_in_other_words(candidate):
    texts = [
        "0.5*|xi|^2 - kappa*lse(beta*X @ xi)/beta",
        "0.5*alpha*|xi|^2 - lse(beta*X @ xi)",
        "0.5*|xi|^2 - alpha*lse(kappa*X @ xi)",
    ]
    first, *rest = (fingerprint_of(candidate(text)) for text in texts)
    assert max(first.distance(other) for other in rest) < 1e-3
    assert all(is_known(other.key, {first.key}) for other in rest)


def test_different_energies_differ(candidate):
    prints = [fingerprint_of(candidate(text)) for text in OTHERS]
    for a, b in itertools.combinations(prints, 2):
        assert a.distance(b) > 0.03
        assert not same_key(a.key, b.key)


def test_no_update_no_fingerprint(candidate):
    assert fingerprint_of(candidate("log(-1 - |xi|^2) + 0*sum_n(X @ xi)")) is None


def test_what_is_written_down_is_the_same(candidate):
    fingerprint = fingerprint_of(candidate(SOFTMAX))
    stored = json.loads(json.dumps([round(value, 4) for value in fingerprint.values]))
    assert Fingerprint(tuple(stored), fingerprint.niche) == fingerprint
    assert len(fingerprint.key) == 32


def test_a_key_allows_for_rounding(candidate):
    fingerprint = fingerprint_of(candidate(SOFTMAX))
    moved = Fingerprint(tuple(v + 1e-4 * (-1) ** i for i, v in enumerate(fingerprint.values)))
    assert same_key(fingerprint.key, moved.key)
    assert not same_key(fingerprint.key, fingerprint.key[:-2])


def test_fingerprints_of_two_versions_have_no_distance():
    with pytest.raises(ValueError, match="2 and 3 numbers"):
        Fingerprint((0.0, 1.0)).distance(Fingerprint((0.0, 1.0, 2.0)))
