"""What every energy promises: shapes, broadcasting, empty rows, independence, errors."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from attenergy.attention import gradient, relax
from attenergy.energies import GraphHopfield, GraphMemory, describe, make_energy, open_rows
from attenergy.registry import load_registry
from attenergy.testing.cases import float64

REGISTRY = load_registry(plugins=False)
NAMES = list(REGISTRY.energies)
every = pytest.mark.parametrize("name", NAMES)


def make(name, dim=4, num_heads=None, **settings):
    with float64():
        return make_energy(name, dim=dim, num_heads=num_heads, registry=REGISTRY, **settings)


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@every
@pytest.mark.parametrize("heads", [None, 3])
def test_shapes(name, heads, stored, named):
    energy = make(name, num_heads=heads)
    for batch in ((), (2,), (2, 5)):
        axes = batch if heads is None else (*batch, heads)
        with named(batch):
            xi = draw(*axes, 4, 4)
            X = stored(energy, xi, draw(*axes, 6, 4))
            out = energy(xi, X, field=draw(*axes, 4, X.shape[-2]))
            assert out.shape == (axes if energy.states_interact else (*axes, 4))


@every
def test_heads_are_independent_and_a_single_one_is_shared(name, stored):
    energy, xi, given = make(name, num_heads=3), draw(2, 3, 4, 4), draw(2, 3, 6, 4)
    X = stored(energy, xi, given)
    with torch.no_grad():
        for parameter in energy.parameters():
            parameter.add_(draw(3, 1, 1))
    out = energy(xi, X)
    changed = xi.clone()
    changed[:, 1] += 1
    other = energy(changed, stored(energy, changed, X))
    assert torch.equal(other[:, [0, 2]], out[:, [0, 2]])
    assert not torch.equal(other[:, 1], out[:, 1])
    first = xi[:, :1]
    one, three = stored(energy, first, X), stored(energy, first.expand_as(xi), X)
    torch.testing.assert_close(energy(first, one), energy(first.expand_as(xi), three))
    torch.testing.assert_close(energy(xi, X[:, :1]), energy(xi, X[:, :1].expand_as(X)))


#: What can be broadcast to (B, H, L, S) = (2, 3, 4, 6).
SHAPES = (
    *((), (1,), (6,), (4, 1), (1, 6), (4, 6), (3, 1, 1), (3, 4, 6)),
    *((2, 1, 1, 6), (2, 1, 4, 1)),
)


@every
def test_masks_of_every_broadcast_shape(name, stored, named):
    energy, xi = make(name, num_heads=3), draw(2, 3, 4, 4)
    X = stored(energy, xi, draw(2, 3, 6, 4))
    count = X.shape[-2]
    for shape in SHAPES:
        mask = torch.rand([count if size == 6 else size for size in shape]) < 0.6
        with named(shape):
            torch.testing.assert_close(
                energy(xi, X, mask=mask), energy(xi, X, mask=mask.expand(2, 3, 4, count))
            )


@every
def test_a_mask_that_hides_nothing_changes_nothing(name, stored):
    energy, xi = make(name), draw(2, 4, 4)
    X = stored(energy, xi, draw(2, 6, 4))
    full = torch.ones(2, 4, X.shape[-2], dtype=torch.bool)
    torch.testing.assert_close(energy(xi, X, mask=full), energy(xi, X))


@every
def test_empty_rows_have_no_energy_and_no_gradient(name, stored):
    energy, xi = make(name), draw(2, 4, 4).requires_grad_()
    X = stored(energy, xi.detach(), draw(2, 6, 4)).requires_grad_()
    mask = torch.ones(2, 4, X.shape[-2], dtype=torch.bool)
    mask[0, 1] = False
    mask[1] = False
    out = energy(xi, X, mask=mask)
    assert (out[1] == 0).all()
    assert energy.states_interact or out[0, 1] == 0
    grad_xi, grad_X = torch.autograd.grad(out.sum(), (xi, X), materialize_grads=True)
    assert grad_xi.isfinite().all()
    assert grad_X.isfinite().all()
    assert (grad_xi[0, 1] == 0).all()
    assert (grad_xi[1] == 0).all()
    assert (grad_X[1] == 0).all()
    assert (grad_xi[0, 0] != 0).all()


def test_a_state_that_sees_nothing_takes_no_part_in_a_joint_energy():
    """With state 2 blind, the ring of four is a ring of the other three."""
    energy, xi, X = make("graph_hopfield", graph="ring"), draw(4, 4), draw(6, 4)
    mask = torch.ones(4, 6, dtype=torch.bool)
    mask[2] = False
    beta, coupling = (energy.values()[n].item() for n in ("beta", "coupling"))
    others = xi[[3, 0, 1]]
    edges = torch.tensor([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]]).double()
    half = edges.sum(-1).rsqrt()
    laplacian = torch.eye(3).double() - half[:, None] * edges * half
    own = 0.5 * (others**2).sum() - torch.logsumexp(beta * others @ X.mT, -1).sum() / beta
    wanted = own + coupling * torch.trace(others.mT @ laplacian @ others)
    torch.testing.assert_close(energy(xi, X, mask=mask), wanted.detach(), check_dtype=True)


def test_open_rows():
    mask = torch.tensor([[True, False], [False, False]])
    opened, occupied = open_rows(mask)
    assert opened.tolist() == [[True, False], [True, True]]
    assert occupied.tolist() == [[True], [False]]


ERRORS = {
    "width of xi": (
        {"xi": draw(2, 3, 4, 5)},
        r"xi must be \(\.\.\., H, length, D\) with D = 4, got",
    ),
    "axes of xi": ({"xi": draw(4, 4)}, r"xi must be \(\.\.\., H, length, D\)"),
    "width of X": ({"X": draw(2, 3, 6, 5)}, r"X must be \(\.\.\., H, length, D\) with D = 4, got"),
    "heads of xi": ({"xi": draw(2, 2, 4, 4)}, r"xi has 2 heads \(axis -3\), the energy 3"),
    "heads of X": ({"X": draw(2, 4, 6, 4)}, r"X has 4 heads \(axis -3\), the energy 3"),
    "patterns of the mask": (
        {"mask": torch.ones(4, 5).bool()},
        r"mask must be broadcastable to \(\.\.\., L, S\) = \(\.\.\., 4, [46]\), got \(4, 5\)",
    ),
    "states of the mask": ({"mask": torch.ones(3, 6).bool()}, "mask must be broadcastable to"),
    "states of the field": ({"field": draw(3, 6)}, "field must be broadcastable to"),
    "type of the mask": (
        {"mask": torch.ones(4, 6)},
        "mask must be boolean.*numbers .* go to `field`",
    ),
    "type of the field": ({"field": torch.ones(4, 6).bool()}, "field must be floating point"),
}


@every
def test_errors(name, stored, named):
    energy, xi = make(name, num_heads=3), draw(2, 3, 4, 4)
    fitting = {"xi": xi, "X": stored(energy, xi, draw(2, 3, 6, 4)), "mask": None, "field": None}
    for case, (changes, message) in ERRORS.items():
        given = fitting | changes
        match = message.replace("[46]", "6" if energy.reads_patterns else "4")
        with named(case), pytest.raises(ValueError, match=match):
            energy(given.pop("xi"), given.pop("X"), **given)


@pytest.mark.parametrize("name", ["lse", "l2_lse", "sparsemax", "rbm", "ising_mean_field"])
@pytest.mark.parametrize("heads", [None, 2])
def test_what_does_not_go_together_is_named(name, heads):
    energy = make_energy(name, dim=4, num_heads=heads).double()
    axis = () if heads is None else (heads,)
    xi, X = torch.randn(3, *axis, 2, 4).double(), torch.randn(3, *axis, 5, 4).double()
    calls = (partial(energy), partial(gradient, energy), partial(relax, energy))
    for call in calls:
        with pytest.raises(ValueError, match=r"xi of torch.float64 and X of torch.float32"):
            call(xi, X.float())
        with pytest.raises(ValueError, match=r"X has 2 entries on axis -\d and xi has 3"):
            call(xi, X[:2])
        with pytest.raises(ValueError, match=r"mask has 4 entries on axis -\d and xi has 3"):
            call(xi, X, mask=torch.ones(4, *axis, 2, 5).bool())
        if energy.reads_field:
            with pytest.raises(ValueError, match=r"field has 4 entries on axis -\d and X has 3"):
                call(xi[:1], X, field=torch.zeros(4, *axis, 1, 5).double())
        if heads is not None:
            with pytest.raises(ValueError, match=r"mask has 3 entries on axis -3 and the energy"):
                call(xi, X, mask=torch.ones(3, 2, 5).bool())
    for few in (xi[0], xi[:1]):
        assert energy(few, X).shape == energy(xi, X).shape
    with torch.autocast("cpu", torch.bfloat16):
        assert energy.float()(xi.float(), X.bfloat16()).isfinite().all()


def test_no_head_axis_is_asked_for_without_heads():
    with pytest.raises(
        ValueError, match=r"xi must be \(\.\.\., length, D\) with D = 4, got \(4,\)"
    ):
        make("lse")(draw(4), draw(6, 4))


def test_the_sphere_has_radius_root_d():
    energy = make("polynomial", 9)
    projected = energy.project(draw(5, 9))
    torch.testing.assert_close(projected.norm(dim=-1), torch.full((5,), 3.0).double())
    zero = torch.zeros(1, 9, dtype=torch.float64, requires_grad=True)
    energy.project(zero).sum().backward()
    assert zero.grad.isfinite().all()
    assert make("lse").project(zero) is zero


#: Entries whose update is autograd's own.
WITHOUT_WEIGHTS = {
    "elliptical",
    "uhop",
    "classical_hopfield",
    "biased_hopfield",
    "simplicial",
    "energy_transformer",
    "energy_transformer_block",
    "hyper_set",
    "causal_tokens",
    "place_rbm",
    "random_features",
    "learned",
    "ising_mean_field",
    "tap",
    "binary_rbm",
    "spherical_spins",
    "n_vector",
}
#: Whether states interact, patterns interact and patterns are read, where it is not (no, no, yes).
COUPLED = {
    "graph_hopfield": (True, False, True),
    "graph_memory": (False, True, True),
    "energy_transformer": (True, False, False),
    "energy_transformer_block": (True, False, False),
    "hyper_set": (True, False, False),
    "causal_tokens": (False, True, False),
    "place_rbm": (True, True, False),
    "continuous_time": (False, True, True),
    "vector_spins": (True, False, True),
    "gaussian_spins": (True, False, True),
    "spherical_spins": (True, False, True),
    "potts": (True, False, True),
    "n_vector": (True, False, True),
    "boltzmann": (False, True, True),
    "unrestricted_boltzmann": (False, True, True),
}


def test_what_is_said_of_entries():
    said = {name: describe(spec) for name, spec in REGISTRY.energies.items()}
    attention = {name: said[name]["attention"] for name in ("lse", "l2_lse", "polynomial", "rbm")}
    assert attention == {"lse": True, "l2_lse": True, "polynomial": False, "rbm": False}
    assert {n for n in said if not said[n]["score_path"]} >= WITHOUT_WEIGHTS
    for name, spec in REGISTRY.energies.items():
        assert said[name]["score_path"] == make(name).has_weights
        assert said[name]["closed_form"] == make(name).has_closed_form
        assert said[name]["attention"] == make(name).is_attention
        assert said[name]["formula"] == spec.formula or spec.formula is None
        assert said[name]["formula"].startswith("E") or spec.formula is not None
        assert said[name]["latex"] or spec.formula is None
    assert said["lse"]["update"].startswith("-xi + X' @ [softmax(beta*s + h)]")
    assert said["polynomial"]["update"].startswith("X' @ [")
    assert said["classical_hopfield"]["update"] == "-grad_xi E, by autograd"
    assert said["graph_hopfield"]["formula"].startswith("E = sum_v [1/2 |xi_v|^2 - lse(beta X xi_v")
    assert said["graph_hopfield"]["latex"] == GraphHopfield.latex != ""


def test_states_and_patterns_interact_where_they_say_so():
    for name in NAMES:
        energy, wanted = make(name), COUPLED.get(name, (False, False, True))
        got = (energy.states_interact, energy.patterns_interact, energy.reads_patterns)
        assert got == wanted, name
    assert isinstance(make("graph_hopfield"), GraphHopfield)
    assert isinstance(make("graph_memory"), GraphMemory)


def test_an_energy_without_a_formula_says_what_is_missing():
    from attenergy.energies import Energy

    energy = Energy(REGISTRY.energies["lse"], 4)
    with pytest.raises(NotImplementedError, match="Energy defines no energy"):
        energy(draw(3, 4), draw(5, 4))
    with pytest.raises(NotImplementedError, match="Energy defines no weights"):
        energy.weights(draw(3, 4), draw(5, 4), None, None)
