"""Options and modes of layers under torch's machinery: copies, vmap, autocast, compile."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from attenergy.attention import EnergyAttention
from attenergy.attention.layers.lookup import EnergyLookup
from attenergy.attention.layers.pooling import EnergyPooling
from attenergy.attention.loading import build
from attenergy.attention.saving.format import LayerArguments
from attenergy.registry import load_registry
from tests.attention.conftest import draw

REGISTRY = load_registry(plugins=False)
B, L, E, H = 2, 5, 8, 2
#: One with weights, one that autograd alone differentiates, one whose states interact.
NAMES = ["lse", "elliptical", "graph_hopfield"]
OPTIONS = {
    "steps": 2,
    "num_kv_heads": 1,
    "rotary": True,
    "normalize_states": "rms_norm",
    "normalize_patterns": "layer_norm",
    "learn_step_size": "per_head_and_step",
    "energy_per_step": True,
}
KINDS = ["attention", "pooling", "lookup"]
CASES = [(kind, name) for kind in KINDS for name in NAMES]

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # inside torch's compiler
    pytest.mark.filterwarnings("ignore:There is a performance drop"),  # fused softmax under vmap
]


def make(kind, name):
    shared = {"registry": REGISTRY, "read": "state", **OPTIONS}
    if kind == "attention":
        return EnergyAttention(E, H, name, **shared).double()
    del shared["rotary"]
    if kind == "pooling":
        return EnergyPooling(E, H, name, num_queries=3, **shared).double()
    del shared["num_kv_heads"]
    return EnergyLookup(E, H, name, num_patterns=4, **shared).double()


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_copies_pickles_and_state_dicts(kind, name):
    layer, other, x = make(kind, name), make(kind, name), draw(B, L, E)
    other.load_state_dict(layer.state_dict())
    twins = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), other]  # noqa: S301
    assert all(torch.equal(twin(x), layer(x)) for twin in twins)
    with torch.no_grad():
        for parameter in twins[0].parameters():
            parameter.add_(0.5)
    assert not torch.equal(twins[0](x), layer(x))
    torch.testing.assert_close(other(x), layer(x))


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_several_models_at_once(kind, name):
    models, x = [make(kind, name) for _ in range(3)], draw(B, L, E)
    stacked, buffers = torch.func.stack_module_state(models)
    shell = copy.deepcopy(models[0]).to("meta")

    def call(parameters, rest):
        return torch.func.functional_call(shell, (parameters, rest), (x,))

    got = torch.func.vmap(call)(stacked, buffers)
    torch.testing.assert_close(got, torch.stack([model(x) for model in models]))


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_bfloat16_by_autocast_and_by_type(kind, name):
    layer, x = make(kind, name), draw(B, L, E)
    exact = layer(x)
    low = copy.deepcopy(layer).bfloat16()(x.bfloat16())
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.double(), exact, rtol=0.1, atol=0.15)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = layer.float()(x.float())
    torch.testing.assert_close(mixed.double(), exact, rtol=0.1, atol=0.15)
    mixed.float().square().sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.by_kind("lse")
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_compiled_as_one_graph(kind, name):
    layer, x = make(kind, name), draw(B, L, E)
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    got, want = compiled(x), layer(x)
    torch.testing.assert_close(got, want)
    parameters = list(layer.parameters())
    mine = torch.autograd.grad(got.square().sum(), parameters)
    theirs = torch.autograd.grad(want.square().sum(), parameters)
    torch.testing.assert_close(mine, theirs)


@pytest.mark.by_kind("lse")
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_checkpointed_without_reentering(kind, name):
    layer, x = make(kind, name), draw(B, L, E).requires_grad_()
    recomputed = torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=False)
    wanted = [x, *layer.parameters()]
    mine = torch.autograd.grad(recomputed.square().sum(), wanted)
    theirs = torch.autograd.grad(layer(x).square().sum(), wanted)
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_gradients_of_first_and_second_order(kind, name):
    layer, x = make(kind, name), draw(1, 3, E).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(layer, (x,), fast_mode=True)


@pytest.mark.parametrize("kind", KINDS)
def test_no_grad_and_inference_mode(kind):
    layer, x = make(kind, "elliptical"), draw(B, L, E)
    want = layer(x)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), want)
    with torch.no_grad():
        assert not layer(x).requires_grad


@pytest.mark.slow
def test_exported_with_any_batch_and_length():
    layer = make("attention", "lse").eval()
    batch, length = torch.export.Dim("batch", min=2), torch.export.Dim("length", min=2)
    shapes = ({0: batch, 1: length},)
    program = torch.export.export(layer, (draw(3, 7, E),), dynamic_shapes=shapes)
    for sizes in ((3, 7), (2, 4)):
        other = draw(*sizes, E)
        torch.testing.assert_close(program.module()(other), layer(other))


def test_every_option_survives_a_description_in_json():
    spec = REGISTRY.energies["lse"]
    described = LayerArguments(
        name="lse", spec=spec, embed_dim=E, num_heads=H, settings={**OPTIONS, "rotary_base": 50.0}
    )
    text = described.model_dump_json(by_alias=True)
    again = build(LayerArguments.model_validate_json(text)).double()
    layer, x = build(described).double(), draw(B, L, E)
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again(x), layer(x))
    assert again.projections.preparation.rotary_base == 50.0
