"""`place_rbm` compiled, exported, mapped and in models of other makes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attenergy.attention import Transformer, make_layer
from attenergy.attention.graphs import EnergyConv
from attenergy.energies import make_energy
from attenergy.energies.tokens.place_rbm import PlaceRBM
from attenergy.registry import load_registry
from attenergy.testing import check_energy
from attenergy.testing.cases import draw, float64

REGISTRY = load_registry(plugins=False)
N = 5
HIDES = r"leave out whole states \(padding\), and hide none"
PAIRS = torch.ones(N, N).tril().bool().expand(2, 1, N, N)
THERE = torch.tensor([[True] * N, [True] * 3 + [False] * 2])
PADDING = (THERE[:, None] & THERE[:, :, None])[:, None]  # (B, 1, L, L), as some models write it
SHORT = {"title": "Short", "class": "PlaceRBM", "quadratic": 1.0, "read": "state"}


class OfAClass(Tensor):
    """A tensor of somebody's own class."""


def layer(length: int = N) -> nn.Module:
    torch.manual_seed(0)
    with float64():
        return make_layer("place_rbm", embed_dim=8, num_heads=2, registry=REGISTRY, length=length)


@pytest.fixture(scope="module")
def compiled() -> Any:
    return torch.compile(layer(), backend="eager", fullgraph=True)


@pytest.fixture(scope="module")
def exported() -> Any:
    return torch.export.export(layer(), (draw(1, 2, N, 8),), {"mask": PADDING}).module()


@pytest.mark.parametrize("kind", ["compiled", "exported"])
def test_a_graph_asserts_that_no_pair_is_hidden(kind: str, request: pytest.FixtureRequest) -> None:
    graph, x = request.getfixturevalue(kind), draw(1, 2, N, 8)
    torch.testing.assert_close(graph(x, mask=PADDING), layer()(x, mask=PADDING))
    with pytest.raises(RuntimeError, match=HIDES):
        graph(x, mask=PAIRS)


def test_every_sample_of_a_map_is_looked_at() -> None:
    module, x = layer(), draw(1, 2, N, 8)
    both = torch.stack([PADDING, PADDING])

    def mapped(masks: Tensor, axis: int = 0) -> Tensor:
        return torch.vmap(lambda mask: module(x, mask=mask), in_dims=axis)(masks)

    want = module(x, mask=PADDING).expand(2, 2, N, 8)
    torch.testing.assert_close(mapped(both), want)
    torch.testing.assert_close(mapped(both.movedim(0, 3), 3), want)
    torch.testing.assert_close(torch.vmap(mapped)(both[None]), want[None])
    mixed = torch.stack([PADDING, PAIRS])
    for call in (
        lambda: mapped(mixed),
        lambda: mapped(mixed.movedim(0, 2), 2),
        lambda: torch.vmap(mapped)(mixed[:, None]),
        lambda: torch.func.grad(lambda s: (s * mapped(mixed)).sum())(torch.ones(()).double()),
    ):
        with pytest.raises(ValueError, match=HIDES):
            call()


def test_a_map_within_a_graph() -> None:
    module, x = layer(), draw(1, 2, N, 8)

    def mapped(x: Tensor, mask: Tensor) -> Tensor:
        return torch.vmap(lambda x, mask: module(x[None], mask=mask[None])[0])(x, mask)

    compiled = torch.compile(mapped, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, PADDING), module(x, mask=PADDING))


def test_a_mask_of_a_class_of_its_own_is_looked_at() -> None:
    x = draw(1, 2, N, 8)
    got = layer()(x, mask=PADDING.as_subclass(OfAClass))
    torch.testing.assert_close(got.as_subclass(Tensor), layer()(x, mask=PADDING))
    with pytest.raises(ValueError, match=HIDES):
        layer()(x, mask=PAIRS.as_subclass(OfAClass))


@pytest.mark.parametrize("name", ["place_rbm", "graph_hopfield", "lse"])
def test_masks_without_numbers(name: str) -> None:
    with torch.device("meta"):
        module = make_layer(name, embed_dim=8, num_heads=2, registry=REGISTRY)
        x, mask = torch.empty(2, 3, 8), torch.empty(2, 1, 1, 3, dtype=torch.bool)
    assert module(x, mask=mask).shape == (2, 3, 8)


class Shorter(PlaceRBM):
    """With an entry of its own."""

    entry = SHORT | {"options": {"length": {"default": 2}, "hidden": {"default": 3}}}


@pytest.mark.parametrize("cls", [PlaceRBM, Shorter])
def test_a_model_gives_its_length_to_a_class(cls: type[PlaceRBM]) -> None:
    sizes = {"size": 3, "outputs": 2, "width": 8, "heads": 2, "mlp": 0, "kind": "token"}
    model = Transformer(layers=[cls], length=70, positions="none", **sizes)
    assert model(torch.zeros(1, 70, dtype=torch.int64)).shape == (1, 70, 2)


def test_an_entry_lacks_an_option_of_its_class() -> None:
    for options, missing in (({}, "hidden"), ({"hidden": {"default": 3}}, "length")):
        spec = type(REGISTRY.energies["lse"]).model_validate(SHORT | {"options": options})
        with pytest.raises(ValueError, match=f"'Short' lacks the option '{missing}' of its class"):
            make_energy(spec, dim=4)


@pytest.mark.slow
def test_laws_hold_for_couplings_of_few_places() -> None:
    options = {"length": {"default": 2}, "hidden": {"default": 3}}
    spec = type(REGISTRY.energies["lse"]).model_validate(SHORT | {"options": options})
    assert [result for result in check_energy(spec) if result.passed is False] == []


def test_what_is_not_read_does_not_count() -> None:
    energy = make_energy("place_rbm", dim=2, length=N, registry=REGISTRY).double()
    xi, unread = draw(1, N, 2), torch.full((N, 2), torch.nan).double()
    seen = torch.ones(N, N).bool()
    torch.testing.assert_close(energy(xi, unread, mask=seen), energy(xi, xi))
    there = seen.clone()
    there[-1] = False  # sees nothing, but is not hidden from the others
    spoilt = torch.cat([xi[:-1], unread[-1:]])
    torch.testing.assert_close(energy(spoilt, spoilt, mask=there), energy(xi[:-1], xi[:-1]))


def test_nodes_of_a_graph_have_no_places() -> None:
    with pytest.raises(ValueError, match="couples places, which the nodes of a graph do not have"):
        EnergyConv(8, 8, heads=2, energy="place_rbm")
