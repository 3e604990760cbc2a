"""A sample gives the same however it is padded: right, left, in the middle, beside longer ones."""

from __future__ import annotations

import pytest
import torch

from attenergy.attention import relax
from attenergy.attention.gradients import chunked
from attenergy.energies import make_energy
from attenergy.energies.graphs.present_nodes import embedded_couplings
from attenergy.energies.graphs.topologies import TOPOLOGIES
from attenergy.energies.presence import all_present, open_to_present
from attenergy.registry import load_registry
from attenergy.testing.cases import float64

REGISTRY = load_registry(plugins=False)
#: Where the nodes of each sample are, of 6 places: right, left and middle padding, none, one node.
PLACES = ([0, 1, 2, 3], [3, 4, 5], [0, 2, 5], [0, 1, 2, 3, 4, 5], [1], [0, 2, 3, 5])
RULES = {
    f"{name} {rule} {kind}": (name, {"graph": rule, "couplings": kind})
    for name, kind in (("vector_spins", "plus_minus"), ("boltzmann", "spin_glass"))
    for rule in TOPOLOGIES
}
KINDS = {
    **{f"boltzmann {i}": ("boltzmann", {"inference": i}) for i in ("exact", "chain", "tap")},
    "boltzmann chain glass": ("boltzmann", {"inference": "chain", "couplings": "spin_glass"}),
    "graph_memory knn": ("graph_memory", {"graph": "knn"}),
    "graph_hopfield ring": ("graph_hopfield", {"graph": "ring"}),
}
CASES = {**{name: (name, {}) for name in REGISTRY.energies}, **RULES, **KINDS}
ON_PATTERNS = [
    *("boltzmann", "unrestricted_boltzmann", "graph_memory", "continuous_time"),
    *KINDS,
]
ON_PATTERNS.remove("graph_hopfield ring")


def make(case, num_heads=2):
    name, settings = CASES[case]
    with float64():
        energy = make_energy(name, dim=4, num_heads=num_heads, registry=REGISTRY, **settings)
    return energy.requires_grad_(False)


def draw(*shape):
    return 0.7 * torch.randn(*shape, dtype=torch.float64)


def present(places):
    there = torch.zeros(len(places), 6, dtype=torch.bool)
    for sample, where in enumerate(places):
        there[sample, where] = True
    return there


def results(energy, xi, X, mask, **options):
    """Values, the states after two steps, and what these states' sum of squares is worth to X."""
    xi, X = energy.from_real(xi).requires_grad_(), X.clone().requires_grad_()
    stored = X if energy.reads_patterns else xi
    value = energy(xi, stored, mask=mask)
    state = relax(energy, xi, stored, mask=mask, steps=2, **options).state
    seen = state if mask is None else torch.where(mask.any(-1, keepdim=True), state, 0.0)
    slopes = torch.autograd.grad(seen.square().sum(), [xi, X], allow_unused=True)
    return value, state, *(torch.zeros_like(xi) if s is None else s for s in slopes)


def compare(energy, rows, mask, pick, **options):
    """All samples in one batch against each of them alone."""
    torch.manual_seed(1)
    xi, X = draw(len(PLACES), 2, rows, 4), draw(len(PLACES), 2, 6, 4)
    among = results(energy, xi, X, mask, **options)
    for sample, where in enumerate(PLACES):
        states = where if pick else slice(None)
        one = results(energy, xi[sample, :, states], X[sample, :, where], None)
        of_states = (states, states, where)
        value = among[0][sample]
        torch.testing.assert_close(
            value if energy.states_interact else value[:, states], one[0], rtol=1e-12, atol=1e-12
        )
        for together, alone, rows_ in zip(among[1:], one[1:], of_states, strict=True):
            torch.testing.assert_close(together[sample][:, rows_], alone, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_padding_changes_nothing(case):
    there = present(PLACES)
    compare(make(case), 6, (there.unsqueeze(-1) & there.unsqueeze(-2)).unsqueeze(1), True)


@pytest.mark.parametrize("case", ON_PATTERNS)
@pytest.mark.parametrize("backend", ["chunked", "eager"])
def test_padding_of_patterns_alone_changes_nothing(case, backend, monkeypatch):
    """Three states that all see the same; also in chunks of one state."""
    monkeypatch.setattr(chunked, "LEAST_ROWS", 1)
    monkeypatch.setattr(chunked, "CHUNK", 1)
    compare(make(case), 3, present(PLACES)[:, None, None], False, backend=backend)


@pytest.mark.parametrize("case", ON_PATTERNS)
def test_what_one_state_sees_is_there_for_all(case, monkeypatch):
    """Causal masks: every pattern is there, whatever a state sees, and an empty row hides none."""
    energy = make(case)
    torch.manual_seed(2)
    xi, X = draw(2, 2, 6, 4), draw(2, 2, 6, 4)
    mask = torch.ones(6, 6, dtype=torch.bool).tril()
    mask[3] = False
    usual = results(energy, xi, X, mask)
    monkeypatch.setattr(chunked, "LEAST_ROWS", 1)
    monkeypatch.setattr(chunked, "CHUNK", 1)
    for one, other in zip(usual, results(energy, xi, X, mask, backend="chunked"), strict=True):
        torch.testing.assert_close(one, other)


def test_empty_rows_see_what_others_see():
    mask = torch.tensor([[[1, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]], dtype=torch.bool)
    opened, occupied = open_to_present(mask)
    assert opened.int().tolist() == [[[1, 0, 0], [1, 0, 0]], [[1, 1, 1], [1, 1, 1]]]
    assert occupied.int().tolist() == [[[1], [0]], [[0], [0]]]


@pytest.mark.parametrize("case", ["vector_spins", "boltzmann chain", "continuous_time"])
def test_vmap_and_compilers_see_the_padding(case):
    energy, there = make(case), present(PLACES)
    torch.manual_seed(3)
    xi, X = draw(6, 2, 6, 4), draw(6, 2, 6, 4)
    mask = (there.unsqueeze(-1) & there.unsqueeze(-2)).unsqueeze(1)

    def value(xi, X, mask):
        return energy(xi, X, mask=mask)

    right = value(xi, X, mask)
    torch.testing.assert_close(torch.vmap(value)(xi, X, mask), right)
    program = torch.export.export(Value(energy), (xi, X, mask)).module()
    torch.testing.assert_close(program(xi, X, mask), right)
    other = mask.flip(0)
    torch.testing.assert_close(program(xi, X, other), value(xi, X, other))


class Value(torch.nn.Module):
    def __init__(self, energy):
        super().__init__()
        self.energy = energy

    def forward(self, xi, X, mask):
        return self.energy(xi, X, mask=mask)


def test_the_operation_is_what_it_says():
    there, like = present(PLACES), draw(1)
    given = (there, "plus_minus", "ring", 3, [4.0, 0.2, 4.0, 0.1], torch.float64)
    torch.library.opcheck(torch.ops.attenergy.embedded_couplings.default, given)
    placed = embedded_couplings("ferromagnetic", "ring", there, 0, (), like)
    i, j = placed[2].nonzero().mT.tolist()
    assert set(zip(i, j, strict=True)) == {(0, 2), (2, 0), (2, 5), (5, 2), (0, 5), (5, 0)}


def test_presence_is_looked_up_anew_where_a_mask_has_changed():
    mask = torch.ones(2, 3, 4, dtype=torch.bool)
    assert all_present(mask, -2)
    assert all_present(mask, -1)
    mask[0, :, 1] = False
    assert not all_present(mask, -2)
    assert all_present(mask, -1)
    mask[1, 2] = False
    assert not all_present(mask, -1)
    with torch.inference_mode():
        assert all_present(torch.ones(2, 3, dtype=torch.bool), -2)
