"""The fuzzy-logic model against the authors' JAX implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attenergy.attention.mixers import HypernetworkAttention
from attenergy.attention.models.transformer import Transformer

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
# Gradients of five arrays are given for these; of every variant the norm of all gradients is.
WITH_GRADIENTS = ("softmax_attention", "linear_attention", "linear_hypatt")
# Their names of modules and ours.
MODULES = {
    "embedding": "embedding.dense",
    "decoder_norm": "norm",
    "logitdense": "out",
    "norm1": "norm1",
    "norm2": "feed_forward.0",
    "state_mixer/Dense_0": "feed_forward.1",
    "state_mixer/Dense_1": "feed_forward.3",
    **{f"sequence_mixer/{n}": f"mixer.projections.{n}" for n in ("query", "key", "value", "out")},
}


def our_name(path: str) -> str:
    *modules, leaf = path.split("/")
    prefix = ""
    if modules[0].startswith("transformer_block_"):
        prefix = f"blocks.{modules.pop(0)[-1]}."
    if leaf == "rel_embedding":
        return f"{prefix}bias.table"
    kind = "bias" if leaf == "bias" else "weight"
    return f"{prefix}{MODULES['/'.join(modules)]}.{kind}"


def our_value(path: str, value: np.ndarray) -> torch.Tensor:
    if path.endswith("kernel"):
        flat = value.reshape(-1, 128) if "/out/" in path else value.reshape(value.shape[0], -1)
        return torch.tensor(flat.T)
    return torch.tensor(value if path.endswith("rel_embedding") else value.reshape(-1))


def build(data: dict[str, np.ndarray], variant: str) -> Transformer:
    normalize, value_network = VARIANTS[variant]
    model = Transformer(
        kind="vector", size=5, length=16, outputs=1, layers=2, width=128, heads=8, mlp=256,
        positions="relative",
        make_layer=lambda: HypernetworkAttention(
            128, 8, normalize=normalize, value_network=value_network, head_dim=2
        ),
    )  # fmt: skip
    paths = [key.removeprefix("param/") for key in data if key.startswith("param/")]
    model.load_state_dict({our_name(p): our_value(p, data[f"param/{p}"]) for p in paths})
    # Theirs were computed in float32, on one machine. In float64 ours are the same on every one.
    return model.double()


def tensor(values: np.ndarray) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_loss_and_gradients(golden, variant):
    data = golden("transformer_logic16")
    model = build(data, variant)
    logits = model(tensor(data["x"]))
    expected = tensor(data[f"{variant}/logits"])
    # By the largest number: that is what float32 left of theirs.
    assert (logits - expected).abs().max() < 3e-6 * expected.abs().max()
    loss = (logits[:, -1] - tensor(data["y"])).square().mean()
    assert loss.item() == pytest.approx(float(data[f"{variant}/metric/loss"]), rel=3e-6)
    loss.backward()
    norm = torch.stack([p.grad.square().sum() for p in model.parameters()]).sum().sqrt()
    assert norm.item() == pytest.approx(float(data[f"{variant}/grad_norm"]), rel=1e-4)
    given = [key for key in data if key.startswith(f"{variant}/grad/")]
    assert len(given) == (5 if variant in WITH_GRADIENTS else 0)
    for key in given:
        path = key.removeprefix(f"{variant}/grad/")
        grad, want = model.get_parameter(our_name(path)).grad, our_value(path, data[key])
        assert (grad - want).abs().max() < 1e-4 * want.abs().max(), path


@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_of_the_last_token(golden, variant):
    data = golden("transformer_logic16")
    model, x = build(data, variant), tensor(data["x"])
    h = model.embedding(x)
    for index, block in enumerate(model.blocks):
        _, weights = block.mixer(block.norm1(h), field=block.bias(16), need_weights=True)
        expected = tensor(data[f"{variant}/attn_last_query"][:, index])
        torch.testing.assert_close(weights[:, :, -1], expected, rtol=1e-5, atol=1e-5)
        h = block(h)
