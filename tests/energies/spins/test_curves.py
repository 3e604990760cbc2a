"""The curves of benchmarks/, at a small size."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from attenergy.registry import load_registry

REGISTRY = load_registry(plugins=False)
BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks" / "curves"


@pytest.fixture
def benchmark_of(monkeypatch):
    """A script of benchmarks/ as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.mark.slow
def test_tap_is_nearer_than_the_mean_field_at_every_temperature(benchmark_of):
    result = benchmark_of("curves_tap").curve(8, 6, registry=REGISTRY)
    plain, tap = result["error"]["ising_mean_field"], result["error"]["tap"]
    assert all(3 * b < a for a, b in zip(plain, tap, strict=True))
    assert plain == sorted(plain)
    assert tap[0] < 1e-3 < plain[0]


def test_a_graph_helps_retrieval_until_it_smooths_too_much(benchmark_of):
    retrieved = benchmark_of("curves_graph_retrieval").retrieved
    none, some, much = (
        sum(retrieved(c, seed, 80, registry=REGISTRY) for seed in range(4)) / 4
        for c in (0.001, 0.6, 10.0)
    )
    assert some > 0.9
    assert none < 0.75
    assert much < 0.6


@pytest.mark.parametrize("name", ["tap", "graph_retrieval"])
def test_recorded_results_are_the_same(name):
    recorded = json.loads((BENCHMARKS.parent / "results" / f"{name}.json").read_text())
    if name == "tap":
        pairs = zip(*recorded["error"].values(), strict=True)
        assert all(3 * tap < plain for plain, tap in pairs)
    else:
        shares = [row["retrieved"] for row in recorded["rows"]]
        assert shares[0] < 0.7
        assert max(shares) > 0.95
        assert shares[-1] < 0.6
