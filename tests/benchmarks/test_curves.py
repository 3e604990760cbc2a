"""The curves of the benchmarks, at sizes that take seconds."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

from attenergy.registry import load_registry

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "curves"


@pytest.fixture
def script(monkeypatch):
    """Importer of a script by its name."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name):
        for module in ("curves", name):
            monkeypatch.delitem(sys.modules, module, raising=False)
        return importlib.import_module(name)

    return load


def test_the_classical_network_falls_off_a_cliff(script):
    capacity = script("curves_capacity")
    overlaps = {
        load: torch.tensor([capacity.overlap(300, load, seed) for seed in range(3)]).mean()
        for load in (0.08, 0.138, 0.25)
    }
    assert overlaps[0.08] > 0.99
    assert 0.8 < overlaps[0.138] < 0.99
    assert overlaps[0.25] < 0.6


@pytest.mark.parametrize(("degree", "threshold"), [(2, 7.69), (3, 164.1), (4, 2101.0)])
def test_the_capacity_of_polynomials(script, degree, threshold):
    capacity = script("curves_capacity")
    assert capacity.capacity(64, degree) == pytest.approx(threshold, rel=1e-3)
    if degree == 4:
        return
    few, many = (round(r * threshold) for r in (0.25, 4.0))
    spec = capacity.polynomial(degree)
    assert capacity.stable(spec, 64, few, 40, 0) == 1.0
    assert capacity.stable(spec, 64, many, 40, 0) < 0.1


def test_the_exponential_energy_holds_thousands(script):
    capacity = script("curves_capacity")
    assert capacity.stable(capacity.exponential(), 64, 20_000, 16, 0) == 1.0


def test_sparse_weights_retrieve_at_lower_beta_and_exactly(script):
    retrieval = script("curves_retrieval")
    X, queries = retrieval.problem(20, 500, 200, 0.5)
    one = {
        name: retrieval.errors(conjugate, 0.5, X, queries, 1)
        for name, conjugate in retrieval.CONJUGATES.items()
    }
    limit = 0.1 * 20**0.5
    assert (one["softmax"] < limit).double().mean() < 0.2
    assert (one["entmax 1.5"] < limit).double().mean() > 0.95
    assert (one["sparsemax"] < limit).double().mean() > 0.98
    exact = {
        name: (retrieval.errors(conjugate, 1.0, X, queries, 5) < 1e-6).double().mean()
        for name, conjugate in retrieval.CONJUGATES.items()
    }
    assert exact["softmax"] == 0
    assert min(exact["entmax 1.5"], exact["sparsemax"]) > 0.97


@pytest.mark.parametrize("beta", [6.0, 12.0, 40.0])
def test_minima_over_subsets_are_where_mean_shift_ends(script, beta):
    """From 20000 starts: move to the mean of the patterns in reach until it is the same."""
    lsr = script("curves_lsr")
    generator = torch.Generator().manual_seed(4)
    patterns = torch.rand(6, 2, generator=generator, dtype=torch.float64)
    state = torch.rand(20_000, 2, generator=generator, dtype=torch.float64)
    for _ in range(60):
        reach = (torch.cdist(state, patterns).square() < 2 / beta).double()
        count = reach.sum(1, keepdim=True)
        state = torch.where(count > 0, reach @ patterns / count.clamp_min(1), state)
    supports = {tuple(row.int().tolist()) for row in reach[count.squeeze() > 0]}
    new, remaining = lsr.minima(patterns, torch.tensor([beta], dtype=torch.float64))
    assert sum(sum(row) > 1 for row in supports) == int(new)
    assert sum(sum(row) == 1 for row in supports) == int(remaining)


def test_many_new_memories_in_eight_dimensions(script):
    lsr = script("curves_lsr")
    betas = torch.linspace(2.5, 7.0, 30, dtype=torch.float64)
    peaks, shares = [], []
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        new, remaining = lsr.minima(
            torch.rand(12, 8, generator=generator, dtype=torch.float64), betas
        )
        peaks.append(int(new.max()))
        shares.append(int(remaining[new.argmax()]) / 12)
    assert 45 < sum(peaks) / 8 < 110
    assert 0.3 < sum(shares) / 8 < 0.8


def test_random_features_converge_with_slope_one_half(script):
    registry = load_registry(plugins=False)
    if "random_features" not in registry.energies:
        pytest.skip("the registry has no entry random_features")
    module = script("curves_random_features")
    X = 0.5 * torch.randn(10, 4, dtype=torch.float64)
    rows = [
        {
            "features": size,
            "error": sum(module.mean_error(registry, size, s, X, X + 0.2) for s in range(12)) / 12,
        }
        for size in (128, 512, 2048, 8192)
    ]
    assert module.slope(rows) == pytest.approx(-0.5, abs=0.12)


@pytest.mark.parametrize("name", ["lsr"])
def test_a_script_writes_its_results(script, monkeypatch, tmp_path, capsys, name):
    module, curves = script(f"curves_{name}"), sys.modules["curves"]
    monkeypatch.setattr(sys, "argv", ["script", "--quick", "--output", str(tmp_path)])
    curves.run(name, module.__doc__, module.measure, module.draw)
    record = json.loads((tmp_path / f"{name}.json").read_text())
    assert record["quick"]
    assert record["curves"][0]["dim"] == 2
    if importlib.util.find_spec("matplotlib"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "CPU time" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["capacity", "lsr", "random_features", "retrieval"])
def test_the_recorded_results_are_of_full_size(name):
    record = json.loads((FOLDER.parent / "results" / f"{name}.json").read_text())
    assert not record["quick"]
    assert record["cpu_seconds"] < 180


def test_asymmetry_tells_gradients_from_hypernetworks(script):
    curls = script("curls")
    assert curls.asymmetry("softmax") < 1e-6
    assert curls.asymmetry("hyla") > 0.5
    assert curls.asymmetry("mean") is None  # the states say nothing
    recorded = json.loads((FOLDER.parent / "results" / "curls.json").read_text())["asymmetry"]
    assert list(recorded) == list(load_registry(plugins=False).mixers)
