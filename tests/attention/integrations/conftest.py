"""What the tests of drop-ins share; `from tests.attention.integrations.conftest import ...`."""

from __future__ import annotations

import torch
from torch import nn

from attenergy.attention import EnergyMultiheadAttention, replace_attention
from tests.attention.conftest import REGISTRY

#: Samples, queries, keys, width and heads of PyTorch's attention.
B, L, S, E, H = 2, 4, 5, 8, 2


def make_multihead(energy="lse", **options):
    """Ours, in float64."""
    return EnergyMultiheadAttention(E, H, energy=energy, registry=REGISTRY, **options).double()


def encoder_layer(**options):
    return nn.TransformerEncoderLayer(E, H, 16, 0.0, batch_first=True, **options)


WIDTHS = {"packed": {}, "three": {"kdim": 6, "vdim": 3, "add_bias_kv": True}}


def plain(widths="packed", cls=nn.MultiheadAttention, **options):
    """PyTorch's, whose biases are not zero."""
    made = cls(E, H, batch_first=True, dtype=torch.float64, **WIDTHS[widths], **options)
    if made.in_proj_bias is not None:
        nn.init.normal_(made.in_proj_bias, std=0.3)
    return made


def energise(model, *args, **options):
    return replace_attention(model, *args, registry=REGISTRY, **options)


#: Samples, positions and tokens of small Hugging Face models.
HF_B, HF_L, VOCABULARY = 2, 6, 29
COMMON = {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SIZES = {
    "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 16,
    "attn_implementation": "eager",
}  # fmt: skip


def bert(**options):
    import transformers as hf

    return hf.BertModel(hf.BertConfig(**COMMON, **{**SIZES, **options}))


def gpt2(**options):
    import transformers as hf

    sizes = {"n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 32}
    config = hf.GPT2Config(**COMMON, **sizes, attn_implementation="eager", **options)
    return hf.GPT2LMHeadModel(config)


def llama(**options):
    import transformers as hf

    config = hf.LlamaConfig(**COMMON, **{**SIZES, "num_key_value_heads": 2, **options})
    return hf.LlamaForCausalLM(config)


def vit(**options):
    import transformers as hf

    return hf.ViTModel(hf.ViTConfig(**{**SIZES, **options}, image_size=8, patch_size=4))


def t5(**options):
    import transformers as hf

    sizes = {"d_model": 24, "d_kv": 6, "d_ff": 16, "num_layers": 1, "num_heads": 4}
    config = hf.T5Config(
        **COMMON, **sizes, decoder_start_token_id=0, attn_implementation="eager", **options
    )
    return hf.T5Model(config)


HF_MODELS = {"bert": bert, "gpt2": gpt2, "llama": llama, "vit": vit, "t5": t5}


def hf_model(name, **options):
    """In float64 and with weights large enough for attention to matter."""
    model = HF_MODELS[name](**options).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.normal_(std=0.4)
    return model


def padding():
    mask = torch.ones(HF_B, HF_L, dtype=torch.long)
    mask[0, -2:] = 0
    return mask


def hf_batch(name):
    if name == "vit":
        return {"pixel_values": torch.randn(HF_B, 3, 8, 8, dtype=torch.float64)}
    tokens = torch.randint(3, VOCABULARY, (HF_B, HF_L))
    more = {"decoder_input_ids": tokens} if name == "t5" else {}
    return {"input_ids": tokens, "attention_mask": padding(), **more}


def shown(name, out):
    """What comes out at places that are not padding."""
    return out if name in ("vit", "t5") else out[padding().bool()]
