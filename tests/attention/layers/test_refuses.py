"""What EnergyAttention refuses, and how it says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attenergy.attention import EnergyAttention, make_layer
from attenergy.attention.graphs import EnergyConv
from attenergy.energies import make_energy
from attenergy.registry import EnergySpec, load_registry
from tests.attention.conftest import LAYERS

E, H = 8, 2
REGISTRY = load_registry(plugins=False)
ENERGIES = {n: make_energy(n, dim=4, registry=REGISTRY) for n in REGISTRY.energies}
SPEC = EnergySpec.model_validate(
    {"title": "a parabola", "formula": "|xi|", "parameters": {}, "quadratic": None}
)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embed_dim": 7}, r"embed_dim \(7\) is not a multiple of num_heads \(2\)"),
        ({"num_heads": 0}, "num_heads must be at least 1, got 0"),
        ({"head_dim": 0}, "must be at least 1, got 0"),
        ({"head_dim": -1}, "must be at least 1, got -1"),
        ({"value_dim": 0}, "value_dim must be at least 1, got 0"),
        ({"context_dim": 0}, "context_dim must be at least 1, got 0"),
        ({"steps": 0}, "steps must be a whole number from 1, got 0"),
        ({"steps": 2.0}, "steps must be a whole number from 1, got 2.0"),
        ({"steps": True}, "steps must be a whole number from 1, got True"),
        ({"step_size": 0}, "step_size must be above 0, got 0"),
        ({"step_size": float("nan")}, "step_size must be a finite number, got nan"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"dropout": -0.1}, "dropout must be at least 0 and below 1"),
        ({"read": "values"}, "read must be one of auto, weights, state, got 'values'"),
        ({"energy": SPEC, "read": "weights"}, "'a parabola' defines no weights over patterns"),
        ({"energy": "polynomial", "value_dim": 3}, r"value_dim \(3\) is for reading by weights"),
        ({"backend": "sdp"}, r"no backend 'sdp' \(did you mean 'sdpa'\?\)"),
        ({"energy": "rbm", "backend": "sdpa"}, "has no backend 'sdpa'; it has eager"),
        ({"energy": "lsee"}, r"no energy or mixer 'lsee' \(did you mean 'lse'\?\)"),
        ({"energy": "hyla"}, "'hyla' is a mixer and has no energy"),
        ({"betta": 1.0}, r"no argument 'betta' \(did you mean 'beta'\?\); known: .*: beta$"),
        ({"beta": -1.0}, "'beta' must be above 0, got -1"),
    ],
)
def test_at_making(options, message):
    options = {"embed_dim": E, "num_heads": H, "registry": REGISTRY, **options}
    with pytest.raises(ValueError, match=message):
        EnergyAttention(**options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": (2, 5, 7)}, r"x must be \(B, L, E\) with last axis 8, got shape \(2, 5, 7\)"),
        ({"x": (5, 8)}, r"x must be \(B, L, E\) with last axis 8, got shape \(5, 8\)"),
        ({"context": (2, 4, 7)}, r"context must be \(B, S, C\) with last axis 8"),
        ({"context": (3, 4, 8)}, "x and context must have the same batch size, got 2 and 3"),
        ({"mask": (2, 5)}, r"\(B, S\) padding mask becomes one by mask\[:, None, None, :\]"),
        ({"mask": (3, 5, 5)}, r"a \(B, L, S\) one by mask\[:, None\]"),
        ({"field": (3, 5, 5)}, r"field of shape \(3, 5, 5\) cannot be broadcast to"),
    ],
)
def test_at_calling(arguments, message):
    layer = EnergyAttention(E, H, registry=REGISTRY)
    given = {n: torch.randn(s) > 0 if n == "mask" else torch.randn(s) for n, s in arguments.items()}
    with pytest.raises(ValueError, match=message):
        layer(given.pop("x", torch.randn(2, 5, E)), **given)


def test_types():
    layer, x = EnergyAttention(E, H, registry=REGISTRY), torch.randn(2, 5, E)
    with pytest.raises(ValueError, match=r"mask must be boolean.*got torch.float32.*`field`"):
        layer(x, mask=torch.ones(5, 5))
    with pytest.raises(ValueError, match=r"field must be floating point, got torch.int64"):
        layer(x, field=torch.ones(5, 5).long())


def test_a_field_that_would_be_ignored_is_refused():
    layer = make_layer(SPEC, embed_dim=E, num_heads=H)
    assert not layer.reads_field
    assert layer.read == "state"
    with pytest.raises(ValueError, match="'a parabola' reads no field h"):
        layer(torch.randn(2, 5, E), field=torch.zeros(5, 5))
    with pytest.raises(ValueError, match="'a parabola' defines no weights over patterns"):
        layer(torch.randn(2, 5, E), need_weights=True)


@pytest.mark.parametrize("name", [n for n in ENERGIES if ENERGIES[n].states_interact])
def test_joint_energies_are_not_causal(name):
    with pytest.raises(ValueError, match=r"couples states to each other.*it cannot be causal"):
        make_layer(name, embed_dim=E, num_heads=H, registry=REGISTRY)(
            torch.randn(2, 5, E), is_causal=True
        )


@pytest.mark.parametrize("name", [n for n in ENERGIES if not ENERGIES[n].reads_patterns])
def test_energies_of_the_states_alone_take_no_context(name):
    with pytest.raises(ValueError, match="an energy of the states alone; it takes no context"):
        make_layer(name, embed_dim=E, num_heads=H, registry=REGISTRY)(
            torch.randn(2, 5, E), torch.randn(2, 4, E)
        )


@pytest.mark.parametrize("name", ["backend", "read", "learn_step_size", "solver"])
@pytest.mark.parametrize("array", [np.zeros(2), torch.zeros(2)])
def test_an_array_in_place_of_a_name_is_refused_by_name(name, array):
    with pytest.raises(ValueError, match=name):
        EnergyAttention(E, H, registry=REGISTRY, **{"steps": 2, name: array})
    with pytest.raises(ValueError, match="in_channels"):
        EnergyConv(array, E, heads=H)


def nested(layout):
    return torch.nested.nested_tensor([torch.zeros(3, E), torch.zeros(2, E)], layout=layout)


#: What is no dense tensor, and what makes one.
NOT_DENSE = {
    "nested": (lambda: nested(torch.strided), "to_padded_tensor"),
    "jagged": (lambda: nested(torch.jagged), "to_padded_tensor"),
    "sparse": (lambda: torch.zeros(2, 3, E).to_sparse(), "to_dense"),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("kind", NOT_DENSE)
@pytest.mark.parametrize("name", ["lse", "rbm", "graph_hopfield", "hyla"])
def test_inputs_are_dense(name, kind):
    make, way = NOT_DENSE[kind]
    layer = make_layer(name, embed_dim=E, num_heads=H, registry=REGISTRY)
    with pytest.raises(ValueError, match=rf"x must be a dense tensor.* x\.{way}\("):
        layer(make())
    with pytest.raises(ValueError, match=rf"context must be a dense tensor.* context\.{way}\("):
        layer(torch.zeros(2, 3, E), make())


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("kind", NOT_DENSE)
@pytest.mark.parametrize("name", ["lookup", "pooling", "block"])
def test_inputs_of_other_layers_are_dense(name, kind):
    make, way = NOT_DENSE[kind]
    with pytest.raises(ValueError, match=rf"must be a dense tensor.*{way}"):
        LAYERS[name]()(make())


@pytest.mark.parametrize("value", ["no", 2, 0.0])
@pytest.mark.parametrize("name", ["lse", "rbm", "hyla", "token_mixing"])
def test_causality_is_true_or_false(name, value):
    more = {"length": 3} if name == "token_mixing" else {}
    layer = make_layer(name, embed_dim=E, num_heads=H, registry=REGISTRY, **more)
    with pytest.raises(ValueError, match="is_causal must be True or False"):
        layer(torch.zeros(2, 3, E), is_causal=value)
    x = torch.randn(2, 3, E)  # wrappers of PyTorch pass None on
    torch.testing.assert_close(layer(x, is_causal=None), layer(x, is_causal=False))


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("shape", [(2,), (3,), (2, 1), (1, 3), (2, 2, 1), (2, 1, 1, 1), (3, 1, 1)])
def test_an_offset_is_one_number_or_one_for_each_sample(shape, rotary):
    """Of two samples with three states, two axes and two heads, whatever axes have one length."""
    layer, x = EnergyAttention(E, H, rotary=rotary, registry=REGISTRY), torch.randn(2, 3, E)
    message = r"offset must be one number, or one for each sample, \(B, 1, 1\) = \(2, 1, 1\), got"
    with pytest.raises(ValueError, match=message):
        layer(x, offset=torch.zeros(shape, dtype=torch.long))
    with pytest.raises(TypeError, match="offset must be a whole number or a tensor, got str"):
        layer(x, offset="1")
    want = layer(x, offset=4)
    for one in ((), (1,), (1, 1, 1), (2, 1, 1)):
        torch.testing.assert_close(layer(x, offset=torch.full(one, 4)), want)
