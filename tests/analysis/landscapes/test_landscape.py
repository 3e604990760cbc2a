"""Landscapes as results: sections, every registered energy, refusals, files."""

from __future__ import annotations

import json

import pytest
import torch

from attenergy.analysis import landscape, planted_patterns, save_retrieval, spin_levels
from attenergy.analysis.landscapes import landscape as surface
from attenergy.analysis.landscapes.charts import Circle, Plane, chart_of
from attenergy.analysis.landscapes.patterns import read_patterns
from attenergy.energies import DOMAINS, make_energy
from attenergy.registry import ArgumentError, load_registry

REGISTRY = load_registry(plugins=False)


# One of each domain, and what is drawn in a way of its own; the others are slow.
@pytest.mark.by_kind(
    *("lse", "elliptical", "sparsemax", "graph_hopfield", "spherical_spins", "energy_transformer"),
    *("exponential", "classical_hopfield", "binary_rbm", "ising_mean_field", "potts"),
    *("causal_tokens", "learned"),
)
@pytest.mark.parametrize("name", REGISTRY.energies)
def test_every_energy_draws_or_says_why_not(name, monkeypatch):
    monkeypatch.setattr(surface, "STEPS", 60)
    spec = REGISTRY.energies[name]
    draw = spin_levels if spec.domain == "spin" else landscape
    options = {} if spec.domain == "spin" else {"resolution": 6}
    if name == "causal_tokens":
        with pytest.raises(ArgumentError, match=r"^[^\n]*is a game[^\n]*$"):
            draw(name, registry=REGISTRY, **options)
        return
    out = draw(name, registry=REGISTRY, **options)
    assert torch.isfinite(out.energies[~out.energies.isnan()]).all()
    assert out.sentence.endswith(".")
    minima = out.minima
    assert minima.minima or minima.away or minima.flat or minima.moving
    json.dumps(out.numbers())


def test_states_that_interact_are_held_and_it_is_said():
    out = landscape("graph_hopfield", 3, resolution=6, beta=4.0)
    assert any("the others are held" in note for note in out.notes())
    assert out.problem.held.shape == (4, 2)
    # The energy of the one that varies, with the rest as it is.
    xi = torch.cat([torch.tensor([[0.3, -0.2]]).double(), out.problem.held[1:]])
    energy = make_energy("graph_hopfield", dim=2, beta=4.0).double()
    want = energy(xi, out.problem.patterns)
    assert torch.allclose(out.problem.value(xi[:1]), want[None])


def test_a_section_is_said_to_be_one():
    X = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    out = landscape("lse", X, beta=20.0, resolution=12)
    assert out.chart.section
    assert 0 < out.chart.share < 1
    assert any("section" in note for note in out.notes())
    for minimum in out.minima.minima:
        if minimum.kind == "single pattern":  # in all dimensions, not in the plane alone
            x = X[minimum.patterns[0] - 1].double()
            assert float((minimum.state - x).norm()) < 0.2
            assert minimum.distance == pytest.approx(
                float(out.chart.distance(minimum.state[None])), abs=1e-9
            )


def test_a_border_is_no_place_of_rest():
    """Planes wider than a simplex: what is moved into it comes off its border again."""
    X = torch.softmax(torch.randn(4, 5, generator=torch.Generator().manual_seed(0)), -1)
    out = landscape("potts", X, resolution=8)
    (minimum,) = out.minima.minima
    assert minimum.verified
    assert float(minimum.state.min()) > 0.1


def test_a_plane_of_given_axes():
    X = torch.eye(3)
    out = landscape("lse", X, axes=[[1.0, 0, 0], [1.0, 1.0, 0]], beta=8.0, resolution=8)
    assert torch.allclose(out.chart.axes, torch.eye(3).double()[:2])
    with pytest.raises(ArgumentError, match="two independent directions"):
        landscape("lse", X, axes=[[1.0, 0, 0], [2.0, 0, 0]])


def test_where_domains_are_drawn():
    def chart(name, dim):
        X = DOMAINS[name].from_real(torch.randn(5, dim, dtype=torch.float64))
        return chart_of(DOMAINS[name], X)

    assert isinstance(chart("sphere", 2), Circle)
    assert isinstance(chart("layer_norm", 3), Circle)
    triangle = chart("simplex", 3)
    assert isinstance(triangle, Plane)
    assert not triangle.section
    grid = triangle.grid(40)
    inside = triangle.inside(grid)
    # An equilateral triangle in the square over its side, with a margin.
    assert float(inside.double().mean()) == pytest.approx(3**0.5 / 4 / 1.06**2, rel=0.1)
    assert torch.allclose(triangle.states(grid[inside]).sum(-1), torch.ones(()).double())
    assert chart("sphere", 3).section
    with pytest.raises(ArgumentError, match="patterns of 3 components"):
        chart("simplex", 2)


def test_energies_beyond_names():
    def mine(xi, X, beta=4.0):
        return 0.5 * xi @ xi - (beta * (X @ xi)).logsumexp(0) / beta

    X = planted_patterns(DOMAINS["real"], 3)
    by_name = landscape("lse", X, beta=4.0, resolution=8)
    made = landscape(make_energy("lse", dim=2, beta=4.0), X, resolution=8)
    own = landscape(mine, X, resolution=8)
    formula = landscape("0.5*|xi|^2 - lse(beta * X @ xi)/beta", X, beta=4.0, resolution=8)
    for other in (made, own, formula):
        assert torch.allclose(other.energies, by_name.energies)
        assert len(other.minima) == len(by_name.minima)


@pytest.mark.parametrize(
    ("energy", "patterns", "settings", "message"),
    [
        ("classical_hopfield", None, {}, "has no surface: its states are spins"),
        ("lsee", None, {}, "did you mean 'lse'"),
        ("lse", [[1.0]], {}, "patterns of 2 components or more"),
        ("lse", [1.0, 2.0], {}, r"patterns must be \(S, D\)"),
        ("lse", [[1.0, float("nan")]], {}, "finite numbers"),
        ("lse", [[1.0, "a"]], {}, "must be numbers"),
        ("lse", 0, {}, "planted patterns must be 1 to"),
        ("lse", None, {"resolution": 2}, "resolution must be 4 to"),
        ("lse", None, {"betta": 2.0}, "did you mean 'beta'"),
    ],
)
def test_what_does_not_fit_is_refused(energy, patterns, settings, message):
    with pytest.raises(ArgumentError if "lsee" not in energy else ValueError, match=message):
        landscape(energy, patterns, **settings)


def test_a_given_energy_is_left_alone():
    energy = make_energy("lse", dim=2)
    landscape(energy, 2, resolution=4)
    (parameter,) = energy.parameters()
    assert parameter.dtype == torch.float32
    assert parameter.requires_grad


def test_spin_levels_of_one_pattern():
    """Hebbian couplings of one pattern: the pattern and its reverse are the only minima."""
    x = torch.tensor([[1.0, -1, 1, 1, -1, 1]])
    out = spin_levels("classical_hopfield", x)
    assert [m.kind for m in out.minima.minima] == ["single pattern", "reversed pattern"] or [
        m.kind for m in out.minima.minima
    ] == ["reversed pattern", "single pattern"]
    assert {tuple(m.state.tolist()) for m in out.minima.minima} == {
        tuple(x[0].tolist()),
        tuple((-x[0]).tolist()),
    }
    # E = -1/2 ((x.s)^2 - D)/D
    assert out.energies.min() == pytest.approx(-0.5 * (36 - 6) / 6)
    assert sum(m.basin for m in out.minima.minima) == pytest.approx(1.0)
    with pytest.raises(ArgumentError, match="at most 12 spins"):
        spin_levels("classical_hopfield", torch.ones(1, 13))
    with pytest.raises(ArgumentError, match="states between spins"):
        spin_levels("lse")


def test_patterns_of_files(tmp_path):
    (tmp_path / "a.csv").write_text("1,2\n3,4\n")
    (tmp_path / "a.txt").write_text("1 2\n3 4\n")
    (tmp_path / "a.json").write_text("[[1, 2], [3, 4]]")
    for name in ("a.csv", "a.txt", "a.json"):
        assert read_patterns(tmp_path / name).tolist() == [[1, 2], [3, 4]]
    for name, text in (("b.csv", "1,x\n"), ("b.json", "[[1, 2], [3]]"), ("b.npy", "none")):
        (tmp_path / name).write_text(text)
        with pytest.raises(ArgumentError, match=name):
            read_patterns(tmp_path / name)
    with pytest.raises(ArgumentError, match=r"\.npy, \.csv"):
        read_patterns(tmp_path / "a.pt")


def _npy(header):
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(64)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.npy", _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (9**9,)}"), "malformed"),
        ("a.npy", _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999, 9999999)}"),
         "more numbers than there is memory"),
        ("a.npy", _npy("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 30 + ",)}"),
         "too large"),
        ("a.npy", _npy("{'descr': '<f8', 'shape': ((((2"), "EOF"),
        ("a.npy", _npy("{'descr': 'O', 'fortran_order': False, 'shape': (2, 2)}"), "allow_pickle"),
        ("a.npy", _npy("{'descr': '<c8', 'fortran_order': False, 'shape': (2, 2)}"), "complex"),
        ("a.npy", b"PK\x03\x04 an archive", "magic string"),
        ("a.json", b"[[1" + b"0" * 400 + b", 1]]", "too large"),
        ("a.json", b"[" * 100_000, "recursion"),
        ("a.json", b"[[1, NaN]]", "finite"),
        ("a.csv", b"", "1 to 4096 rows"),
        ("a.csv", b"\xff\xfe", "decode"),
    ],
)  # fmt: skip
def test_hostile_files_of_patterns_are_refused_by_name(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ArgumentError, match=rf"a\.\w+: .*{message}"):
        read_patterns(tmp_path / name)


def test_a_spreadsheets_mark_is_no_number(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf1,0\r\n0,1\r\n")
    assert read_patterns(tmp_path / "a.csv").tolist() == [[1, 0], [0, 1]]


def test_energies_that_overflow_everywhere_are_no_landscape():
    with pytest.raises(ArgumentError, match=r"finite number nowhere .*up to 1e\+308"):
        landscape("lse", [[1e308, 1.0], [-1e308, 1.0]])


@pytest.mark.long
def test_pictures_and_animation(tmp_path):
    from PIL import Image

    out = landscape("lse", 3, beta=6.0, resolution=12)
    names = {path.name for path in out.save(tmp_path)}
    assert names == {
        *("landscape.json", "landscape.md", "landscape.png", "landscape.svg"),
        *("landscape-basins.png", "landscape-basins.svg"),
    }
    path = save_retrieval(out, tmp_path / "way.gif", start=[1.0, 1.0])
    with Image.open(path) as image:
        assert image.n_frames > 10
    assert path.stat().st_size < 400_000
    with pytest.raises(ArgumentError, match=r"is a \.gif"):
        save_retrieval(out, tmp_path / "way.mp4")
    (around,) = landscape("polynomial", 2, resolution=60).pictures()
    around.save(tmp_path)
