"""The last block at some positions only equals those positions of the whole."""

from __future__ import annotations

import pytest
import torch

from attenergy.attention import Transformer, make_layer
from attenergy.attention.models.rows import at_rows, states_apart
from attenergy.energies.factory import class_of
from attenergy.registry import load_registry

REGISTRY = load_registry(plugins=False)
NAMES = [*REGISTRY.energies, *REGISTRY.mixers]
ROWS = slice(5, 8)


def model_of(name: str, **options: object) -> Transformer:
    torch.manual_seed(0)
    width, heads, length = 16, 4, 9

    def layer(**extra: object) -> torch.nn.Module:
        needs = {"length": length} if name in ("low_rank", "token_mixing") else {}
        return make_layer(name, embed_dim=width, num_heads=heads, **needs, **extra)

    plain = {"outputs": 5, "layers": 2, "mlp": 24, "positions": "relative", **options}
    model = Transformer(
        width=width, heads=heads, kind="vector", size=3, length=length, make_layer=layer, **plain
    ).double()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


MASKS = {
    "none": None,
    "padding": torch.arange(9).expand(2, 9) < torch.tensor([[9], [8]]),
    "pairs": torch.ones(2, 9, 9, dtype=torch.bool).tril(2),
}


NO_PAIRS = [n for n, spec in REGISTRY.energies.items() if not class_of(spec).hides_pairs]


@pytest.mark.by_kind(
    "lse", "rbm", "sparsemax", "graph_hopfield", "continuous_time", "energy_transformer",
    "softmax", "hyla", "low_rank", "performer", "window",
)  # fmt: skip
@pytest.mark.parametrize("name", NAMES)
def test_rows_are_those_of_the_whole_with_their_gradients(name, named):
    model, inputs = model_of(name), torch.randn(2, 9, 3, dtype=torch.float64)
    masks = ["none", "padding"] if name in NO_PAIRS else list(MASKS)
    cases = [(mask, False) for mask in masks] + [("none", True)]
    for mask, causal in cases:
        with named(f"{mask} mask, causal {causal}"):
            if causal and not causal_is_possible(model, inputs):
                continue
            keywords = {"mask": MASKS[mask], "is_causal": causal}
            whole = model(inputs, **keywords)[:, ROWS]
            some = model(inputs, **keywords, rows=ROWS)
            torch.testing.assert_close(some, whole, rtol=1e-6, atol=1e-9)
            pairs = [gradients(model, out) for out in (some, whole)]
            for mine, theirs in zip(*pairs, strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-8)


def causal_is_possible(model, inputs):
    try:
        model(inputs, is_causal=True)
    except ValueError:
        return False
    return True


def gradients(model, out):
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    parameters = [p for p in model.parameters() if p.requires_grad]
    slopes = torch.autograd.grad((out * weights).sum(), parameters, allow_unused=True)
    return [
        torch.zeros_like(p) if g is None else g for p, g in zip(parameters, slopes, strict=True)
    ]


def test_most_layers_save_the_other_rows(monkeypatch):
    """What is not computed is seen by the number of rows that the feed-forward part gets."""
    alone = {"lse", "softmax", "linear", "hyla", "rbm", "graph_memory", "sparsemax"}
    coupled = {"graph_hopfield", "energy_transformer", "vector_spins", "potts", "token_mixing"}
    apart = set()
    for name in sorted(alone | coupled | {"window", "aaren", "attention_bn"}):
        model = model_of(name).eval()
        sizes = []
        hook = model.blocks[-1].feed_forward.register_forward_pre_hook(
            lambda _, args, sizes=sizes: sizes.append(args[0].shape[1])
        )
        model(torch.randn(2, 9, 3, dtype=torch.float64), rows=ROWS)
        hook.remove()
        assert sizes[-1] == (3 if states_apart(model.blocks[-1].mixer) else 9), name
        apart |= {name} if sizes[-1] == 3 else set()
    assert apart == alone


@pytest.mark.parametrize("options", [{"positions": "rotary"}, {"readout": "bottleneck"}])
def test_where_rows_cannot_be_alone_they_are_taken_from_the_whole(options):
    model, inputs = model_of("lse", **options), torch.randn(2, 9, 3, dtype=torch.float64)
    torch.testing.assert_close(model(inputs, rows=ROWS), model(inputs)[:, ROWS])


def test_patterns_that_act_on_each_other_need_all_states_where_masks_differ():
    layer = make_layer("continuous_time", embed_dim=16, num_heads=4)
    assert states_apart(layer)
    assert states_apart(layer, torch.ones(2, 1, 1, 9, dtype=torch.bool))
    assert not states_apart(layer, torch.ones(2, 1, 9, 9, dtype=torch.bool))
    assert not states_apart(layer, is_causal=True)


def test_with_a_checkpoint_and_a_convolution():
    plain = model_of("lse", conv=3)
    checkpointed = model_of("lse", conv=3, checkpoint=True)
    inputs = torch.randn(2, 9, 3, dtype=torch.float64)
    torch.testing.assert_close(checkpointed(inputs, rows=ROWS), plain(inputs)[:, ROWS])


def test_a_layer_at_rows_takes_fields_and_masks_of_every_broadcast_shape():
    layer = make_layer("lse", embed_dim=16, num_heads=4).double()
    x = torch.randn(2, 9, 16, dtype=torch.float64)
    for shape in ((1, 1, 1, 9), (2, 1, 9, 9), (1, 4, 9, 9), (2, 4, 1, 9)):
        mask, field = torch.rand(shape) < 0.7, torch.randn(shape, dtype=torch.float64)
        for keywords in ({"mask": mask}, {"field": field}, {"mask": mask, "field": field}):
            some = at_rows(layer, x, ROWS, **keywords)
            torch.testing.assert_close(some, layer(x, **keywords)[:, ROWS])
