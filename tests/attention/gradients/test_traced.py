"""The traced gradient: for whom it is, what it takes for constant, and where it is kept."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from attenergy.attention import EnergyAttention, gradient
from attenergy.attention.gradients import traced
from attenergy.attention.gradients.traced import TraceError, traced_gradient
from attenergy.energies import Energy, make_energy
from attenergy.registry import load_registry
from attenergy.testing.cases import float64
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)


def make(name, dim=4, **options):
    with float64():
        return make_energy(name, dim=dim, registry=REGISTRY, **options)


def kinds(energy):
    """Lengths of the graphs of an energy; None is for any."""
    return [k.lengths for k, g in traced._TRACES[energy].graphs.items() if callable(g)]


def same(energy, xi, X, **given):
    got = gradient(energy, xi, X, backend="traced", **given)
    torch.testing.assert_close(got, gradient(energy, xi, X, backend="eager", **given))


@pytest.mark.parametrize("dim", [4, 11])  # 11 is a length that the tracer's example would have
def test_one_graph_serves_all_lengths(dim):
    energy = make("elliptical", dim=dim, num_heads=2)
    for batch, states, patterns in ((2, 3, 5), (3, 11, 13), (5, 7, 7), (4, 13, 11)):
        same(energy, draw(batch, 2, states, dim), draw(batch, 2, patterns, dim))
    assert kinds(energy) == [None]
    same(energy, draw(2, 2, 1, dim), draw(1, 2, 5, dim))  # axes of length 1 broadcast
    assert kinds(energy) == [None, None]


@pytest.mark.long
def test_an_energy_on_a_graph_has_one_for_every_number_of_nodes():
    energy = make("spherical_spins")
    for batch, nodes in ((2, 3), (4, 3), (2, 6)):
        xi = energy.from_real(draw(batch, nodes, 4))
        same(energy, xi, draw(batch, 5, 4))
    assert kinds(energy) == [(3, 5), (6, 5)]


@pytest.mark.slow
def test_an_own_graph_replaces_the_one_traced():
    energy = make("spherical_spins")
    xi, X = energy.from_real(draw(2, 3, 4)), draw(2, 5, 4)
    same(energy, xi, X)
    line = torch.tensor([[0.0, 2.0, 0.0], [2.0, 0.0, 1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    energy.use_graph(line)
    same(energy, xi, X)


def test_changed_parameters_are_seen():
    energy = make("elliptical")
    xi, X = draw(2, 3, 4), draw(2, 5, 4)
    same(energy, xi, X)
    with torch.no_grad():
        for parameter in energy.parameters():
            parameter.mul_(1.5).add_(0.1)
    same(energy, xi, X)
    assert kinds(energy) == [None]


@pytest.mark.long
def test_copies_pickles_and_states_know_nothing_of_it():
    energy = make("energy_transformer")
    xi = draw(2, 3, 4)
    same(energy, xi, xi)
    before = list(energy.state_dict())
    twin = copy.deepcopy(energy)
    assert twin not in traced._TRACES
    same(twin, xi, xi)
    file = io.BytesIO()
    torch.save(energy, file)
    file.seek(0)
    same(torch.load(file, weights_only=False), xi, xi)
    assert list(energy.state_dict()) == before


class Branching(Energy):
    """0.5 |xi|^2, or twice that, as a number in a tensor or a length says."""

    by_length = False

    def energy(self, xi, X, mask, field):
        large = X.shape[-2] > 40 if self.by_length else bool((X.sum() > 0).item())
        return (xi * xi).sum(-1) * (1.0 if large else 0.5)


def branching(by_length):
    spec = REGISTRY.energies["lse"].model_copy(update={"title": "branching"})
    energy = Branching(spec, 4)
    energy.by_length = by_length
    return energy.double()


def test_what_depends_on_numbers_in_tensors_is_refused():
    with pytest.raises(TraceError, match="the gradient of 'branching' cannot be traced: "):
        gradient(branching(False), draw(2, 3, 4), draw(2, 5, 4), backend="traced")


def test_what_depends_on_lengths_has_a_graph_for_each():
    energy = branching(True)
    for patterns in (5, 50):
        same(energy, draw(2, 3, 4), draw(2, patterns, 4))
    assert kinds(energy) == [(3, 5), (3, 50)]


def test_auto_traces_where_functional_gradients_are_refused(monkeypatch):
    calls = []

    def spy(*args):
        calls.append(args)
        return traced_gradient(*args)

    monkeypatch.setattr("attenergy.attention.gradients.gradient.traced_gradient", spy)
    layer = EnergyAttention(8, 2, "elliptical", steps=2, registry=REGISTRY).double()
    x = draw(2, 5, 8).requires_grad_()
    want = torch.autograd.grad(layer(x).square().sum(), [x, *layer.parameters()])
    assert not calls
    out = checkpoint(layer, x, use_reentrant=False)
    assert calls
    got = torch.autograd.grad(out.square().sum(), [x, *layer.parameters()])
    torch.testing.assert_close(got, want)


def test_under_vmap_no_grad_and_inference():
    energy = make("learned")
    xi, X = draw(3, 2, 4), draw(3, 5, 4)
    want = gradient(energy, xi, X)
    each = torch.vmap(lambda a, b: gradient(energy, a, b, backend="traced"))
    torch.testing.assert_close(each(xi, X), want)
    with torch.no_grad():
        out = gradient(energy, xi, X, backend="traced")
    assert not out.requires_grad
    with torch.inference_mode():
        torch.testing.assert_close(gradient(energy, xi, X, backend="traced"), want)


#: torch.onnx has no translation of an operation of theirs.
NOT_IN_ONNX = {"spherical_spins": "eigenvalues (linalg_eigh)"}
OPAQUE = [n for n in REGISTRY.energies if not make(n).has_weights and n not in NOT_IN_ONNX]


@pytest.mark.filterwarnings("ignore")  # inside the exporter
@pytest.mark.slow
@pytest.mark.parametrize("name", OPAQUE)
def test_onnx_runs_at_any_size(name, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    layer = EnergyAttention(8, 2, name, steps=2, registry=REGISTRY).eval()
    is_open = "graph" not in REGISTRY.energies[name].options
    sizes = {0: torch.export.Dim("batch", min=2)}
    if is_open:
        sizes[1] = torch.export.Dim("length", min=2)
    file = tmp_path / "layer.onnx"
    x = torch.randn(3, 7, 8)
    torch.onnx.export(layer, (x,), file, dynamo=True, dynamic_shapes=(sizes,), verbose=False)
    session = runtime.InferenceSession(file)
    for length in (7, 11) if is_open else (7,):
        other = torch.randn(5, length, 8)
        (got,) = session.run(None, {session.get_inputs()[0].name: other.numpy()})
        torch.testing.assert_close(torch.from_numpy(got), layer(other), rtol=1e-4, atol=1e-5)
