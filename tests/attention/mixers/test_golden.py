"""Every variant of HypernetworkAttention against the authors' JAX implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from attenergy.attention.mixers import HypernetworkAttention, hypernetwork

VARIANTS = {
    "softmax_attention": ("softmax", "linear"),
    "linear_attention": ("none", "linear"),
    "linear_attention_rms_head": ("rms_head", "linear"),
    "linear_hypatt": ("rms_head", "relu"),
    "linear_hypatt_no_rms_head": ("none", "relu"),
    "linear_hypatt_mlp_linear": ("rms_head", "hyper_linear"),
    "linear_hypatt_mlp_linear_no_rms_head": ("none", "hyper_linear"),
    "softmax_hypatt": ("softmax", "relu"),
}
CASES = ["plain", "bias", "causal", "bias_causal", "bias_dropout"]
NAMES = ["query", "key", "value", "out"]


class WithGivenMask(HypernetworkAttention):
    keep: Tensor

    def keep_mask(self, length, stored, device):
        assert (length, stored) == tuple(self.keep.shape[-2:])
        return self.keep


def as_weight(kernel: np.ndarray, name: str) -> np.ndarray:
    flat = kernel.reshape(-1, 16) if name == "out" else kernel.reshape(16, -1)
    return flat.T


def build(data: dict[str, np.ndarray], variant: str) -> WithGivenMask:
    normalize, value_network = VARIANTS[variant]
    layer = WithGivenMask(
        16, 4, normalize=normalize, value_network=value_network,
        head_dim=2, value_dim=3, dropout=0.1,
    )  # fmt: skip
    state = {}
    for name in NAMES:
        state[f"projections.{name}.weight"] = as_weight(data[f"param/{name}/kernel"], name)
        state[f"projections.{name}.bias"] = data[f"param/{name}/bias"].reshape(-1)
    layer.load_state_dict({key: torch.tensor(value) for key, value in state.items()})
    layer.keep = torch.tensor(data["dropout_keep"])
    # Theirs were computed in float32, on one machine. In float64 ours are the same on every one.
    return layer.double().eval()


def tensor(values: np.ndarray, **options: bool) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, **options)


def arguments(data: dict[str, np.ndarray], case: str) -> dict[str, object]:
    return {
        "field": tensor(data["attention_bias"]) if "bias" in case else None,
        "mask": torch.tensor(data["causal_mask"]) if "causal" in case else None,
    }


def relative_error(got: Tensor, expected: np.ndarray) -> float:
    """Largest error, measured by the largest number: outputs reach 60, in float32."""
    want = tensor(expected)
    return float((got.detach().reshape(want.shape) - want).abs().max() / want.abs().max())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_outputs_and_weights(golden, variant, case, monkeypatch):
    data = golden("attention_layers")
    layer = build(data, variant).train(case == "bias_dropout")
    x, options = tensor(data["x"]), arguments(data, case)
    out, weights = layer(x, need_weights=True, **options)
    expected = data[f"{variant}/{case}/out"]
    assert relative_error(out, expected) < 1e-6
    assert relative_error(weights, data[f"{variant}/{case}/attn"]) < 1e-6
    assert relative_error(layer(x, **options), expected) < 1e-6
    monkeypatch.setattr(hypernetwork, "fused_pays", lambda *_: True)
    assert relative_error(layer(x, **options), expected) < 1e-6
    if "causal" in case:
        assert relative_error(layer(x, field=options["field"], is_causal=True), expected) < 1e-6


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients(golden, variant, fused, monkeypatch):
    monkeypatch.setattr(hypernetwork, "fused_pays", lambda *_: fused)
    data = golden("attention_layers")
    layer = build(data, variant)
    x = tensor(data["x"], requires_grad=True)
    field = tensor(data["attention_bias"], requires_grad=True)
    result = layer(x, field=field, need_weights=not fused)
    out = result if fused else result[0]
    (out * tensor(data["cotangent"])).sum().backward()
    prefix = f"{variant}/bias/grad"
    assert relative_error(x.grad, data[f"{prefix}_x"]) < 1e-5
    assert relative_error(field.grad, data[f"{prefix}_attention_bias"]) < 1e-5
    for name in NAMES:
        linear = getattr(layer.projections, name)
        expected = as_weight(data[f"{prefix}_param/{name}/kernel"], name)
        assert relative_error(linear.weight.grad, expected) < 1e-5, name
        bias = data[f"{prefix}_param/{name}/bias"]
        if name == "key" and VARIANTS[variant][0] == "softmax":
            # It shifts all scores of a state alike, so both sides hold round-off only.
            assert linear.bias.grad.abs().max() < 1e-5
            assert np.abs(bias).max() < 1e-5
        else:
            assert relative_error(linear.bias.grad, bias) < 1e-5, name
