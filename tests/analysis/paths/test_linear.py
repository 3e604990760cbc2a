"""The sum over paths equals the model, where there is nothing but attention."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import attenergy
from attenergy.analysis import attention_paths
from attenergy.analysis.paths.features import (
    Points,
    all_paths,
    count_paths,
    head_features,
    path_features,
)
from attenergy.analysis.paths.linear import all_writes, head_contributions
from attenergy.analysis.paths.patterns import Patterns, read_patterns

E, H, L, B = 8, 2, 5, 12


class Added(nn.Module):
    """x + layer(x), or layer(x) alone, of several layers."""

    def __init__(self, layers: list[nn.Module], skip: bool) -> None:
        super().__init__()
        self.layers, self.skip = nn.ModuleList(layers), skip

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            multi = isinstance(layer, nn.MultiheadAttention)
            out = layer(x, x, x)[0] if multi else layer(x)
            x = x + out if self.skip else out
        return x


MAKERS: dict[str, Callable[[bool], nn.Module]] = {
    "lse": lambda bias: attenergy.EnergyAttention(E, H, energy="lse", bias=bias),
    "three steps": lambda bias: attenergy.EnergyAttention(E, H, energy="lse", steps=3, bias=bias),
    "shared values": lambda bias: attenergy.EnergyAttention(E, H, num_kv_heads=1, bias=bias),
    "softmax": lambda bias: attenergy.make_mixer("softmax", embed_dim=E, num_heads=H, bias=bias),
    "linear": lambda bias: attenergy.make_mixer("linear", embed_dim=E, num_heads=H, bias=bias),
    "groups": lambda bias: attenergy.make_layer(
        "lse+linear", embed_dim=E, num_heads=2 * H, bias=bias
    ),
    "PyTorch": lambda bias: nn.MultiheadAttention(E, H, bias=bias, batch_first=True),
}


def model_of(kind: str, bias: bool, skip: bool) -> Added:
    torch.manual_seed(0)
    model = Added([MAKERS[kind](bias) for _ in range(2)], skip).double()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("bias"):
                value.normal_()
    return model


def inputs() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(B, L, E, dtype=torch.float64, generator=draw)
    targets = torch.full((B, L), -100)
    targets[:, 2] = torch.arange(B) % 3
    return x, targets


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("kind", MAKERS)
def test_the_sum_over_paths_is_the_output(kind: str, skip: bool) -> None:
    model, (x, targets) = model_of(kind, False, skip), inputs()
    result = attention_paths(model, [x], [targets], skip=skip, prune=False, shuffles=20)
    assert result.features is not None
    assert result.path_weights is not None
    total = torch.einsum("npe,pec->nc", result.features, result.path_weights)
    with torch.no_grad():
        assert torch.allclose(total, model(x)[:, 2], rtol=0, atol=1e-10)
    # What heads write, by dynamic programming, is the sum over their paths.
    model.eval()
    patterns = read_patterns(model, (x,), {})
    places = Points(torch.arange(B), torch.eye(L).double()[[2] * B], torch.arange(L))
    writes = all_writes(patterns)
    assert writes is not None
    written = head_contributions(patterns, writes, places, skip)
    each = torch.einsum("npe,pec->npc", result.features, result.path_weights)
    for i, (name, head) in enumerate(result.every_head):
        layer = result.layers.index(name)
        through = [p for p, path in enumerate(result.paths) if path[layer] == head]
        assert torch.allclose(written[:, i], each[:, through].sum(1), atol=1e-10)
    assert result.explained == pytest.approx(1.0, abs=1e-12)
    assert "exactly" in "\n".join(result.notes())


@pytest.mark.parametrize("kind", MAKERS)
def test_biases_are_in_what_is_explained(kind: str) -> None:
    model, (x, targets) = model_of(kind, True, True), inputs()
    result = attention_paths(model, [x], [targets], prune=False, shuffles=20)
    assert result.explained == pytest.approx(1.0, abs=1e-12)


def test_values_that_are_not_linear_are_not_explained() -> None:
    torch.manual_seed(0)
    layers = [attenergy.make_mixer("hyla", embed_dim=E, num_heads=H) for _ in range(2)]
    model, (x, targets) = Added(list(layers), True).double(), inputs()
    result = attention_paths(model, [x], [targets], prune=False, shuffles=20)
    assert result.explained is None or result.explained < 0.99
    assert "exactly" not in "\n".join(result.notes())


def test_a_state_that_is_read_has_no_values() -> None:
    torch.manual_seed(0)
    layers = [attenergy.EnergyAttention(E, H, energy="lse", read="state") for _ in range(2)]
    model, (x, targets) = Added(list(layers), True).double(), inputs()
    result = attention_paths(model, [x], [targets], prune=False, shuffles=20)
    assert result.explained is None
    assert result.path_weights is None
    assert "values of a layer are not known" in "\n".join(result.notes())


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("rows", [None, [1, 2], [3]])
def test_heads_are_the_mean_of_their_paths(skip: bool, rows: list[int] | None) -> None:
    draw = torch.Generator().manual_seed(0)
    heads = (2, 3, 2)
    weights = [torch.rand(4, h, L, L, generator=draw, dtype=torch.float64) for h in heads]
    places = torch.arange(L) if rows is None else torch.tensor(rows)
    weights[-1] = weights[-1][:, :, places]
    x = torch.randn(4, L, E, generator=draw, dtype=torch.float64)
    patterns = Patterns(("a", "b", "c"), tuple(weights), x, None, ((), (), ()))
    readout = torch.rand(3, len(places), generator=draw, dtype=torch.float64)
    points = Points(torch.tensor([0, 2, 3]), readout, places)
    features = path_features(patterns, points, skip)
    paths = all_paths(heads, skip)
    assert len(paths) == len(set(paths)) == count_paths(heads, skip) == features.shape[1]
    for layer, each in enumerate(head_features(patterns, points, skip)):
        assert each.shape == (3, heads[layer], E)
        for head in range(heads[layer]):
            through = [i for i, path in enumerate(paths) if path[layer] == head]
            assert torch.allclose(each[:, head], features[:, through].mean(1), atol=1e-12)
    spread = torch.zeros(3, L, dtype=torch.float64).index_add(-1, places, readout)
    path = paths[-1]
    matrix = spread if path[-1] == -1 else None
    if matrix is None:
        matrix = (readout[:, None] @ weights[-1][points.instance, path[-1]])[:, 0]
    for layer in (1, 0):
        if path[layer] != -1:
            matrix = (matrix[:, None] @ weights[layer][points.instance, path[layer]])[:, 0]
    want = (matrix[:, None] @ x[points.instance])[:, 0]
    assert torch.allclose(features[:, -1], want, atol=1e-12)
