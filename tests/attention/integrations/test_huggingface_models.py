"""The models of transformers, one of each kind: as they were, or refused when energized."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers as hf
from torch import nn

from attenergy.attention.integrations.huggingface import attention_modules, energize
from attenergy.attention.integrations.huggingface.request import asked_scale, check_asked
from attenergy.energies import make_energy
from tests.attention.conftest import REGISTRY

NAMES = list(REGISTRY.energies)
B, L, VOCABULARY = 2, 6, 29
TOKENS = {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
BERT = {
    "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 16,
}  # fmt: skip
LLAMA = {**BERT, **TOKENS, "num_key_value_heads": 2, "head_dim": 6}
BART = {
    **TOKENS, "d_model": 24, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "decoder_ffn_dim": 16,
    "decoder_start_token_id": 1,
}  # fmt: skip
T5 = {
    **TOKENS, "d_model": 24, "d_kv": 6, "d_ff": 16, "num_layers": 1, "num_heads": 4,
    "decoder_start_token_id": 0,
}  # fmt: skip
SPEECH = {
    **BERT, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "conv_dim": (8, 8),
    "conv_kernel": (10, 5), "conv_stride": (5, 4), "num_feat_extract_layers": 2,
}  # fmt: skip
MODELS = {
    "bert": {**BERT, **TOKENS},
    "roberta": {**BERT, **TOKENS},
    "electra": {**BERT, **TOKENS, "embedding_size": 24},
    "distilbert": {**TOKENS, "dim": 24, "hidden_dim": 16, "n_layers": 2, "n_heads": 4},
    "modernbert": {**BERT, **TOKENS, "cls_token_id": 1, "sep_token_id": 2},
    "gpt2": {**TOKENS, "n_embd": 24, "n_layer": 2, "n_head": 4},
    "gpt_neox": {**BERT, **TOKENS},
    "opt": {**BERT, **TOKENS, "ffn_dim": 16, "word_embed_proj_dim": 24},
    "phi": {**LLAMA, "num_key_value_heads": 4, "partial_rotary_factor": 1.0},
    "llama": LLAMA,
    "mistral": {**LLAMA, "sliding_window": 3},
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "gemma": LLAMA,
    "gemma3_text": {**LLAMA, "query_pre_attn_scalar": 11, "sliding_window": 3},
    "granite": {**LLAMA, "attention_multiplier": 0.7},
    "bart": BART,
    "marian": BART,
    "t5": T5,
    "vit": {**BERT, "image_size": 8, "patch_size": 4},
    "clip_vision_model": {**BERT, "image_size": 8, "patch_size": 4},
    "clip_text_model": {**BERT, **TOKENS},
    "whisper": {**BART, "num_mel_bins": 8, "max_source_positions": 10},
    "wav2vec2": SPEECH,
}
SLOW = ("roberta", "electra", "phi", "mistral", "qwen2", "gemma", "marian", "clip_text_model")
REFUSED = {
    "gemma2": (LLAMA, "Gemma2Attention.* asks its attention for softcap"),
    "gpt_oss": ({**LLAMA, "num_local_experts": 2}, r"GptOssAttention.* asks .* for s_aux"),
}


def make(kind, sizes):
    """In evaluation mode and with weights large enough for attention to matter."""
    config = hf.AutoConfig.for_model(kind, **sizes)
    model = hf.AutoModel.from_config(config, attn_implementation="eager").double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.normal_(std=0.4)
    return model


def batch(kind, model):
    tokens = torch.randint(3, VOCABULARY, (B, L))
    mask = torch.ones(B, L, dtype=torch.long)
    mask[0, -2:] = 0
    of = {
        "pixel_values": lambda: torch.randn(B, 3, 8, 8),
        "input_values": lambda: torch.randn(B, 400),
        "input_features": lambda: torch.randn(B, 8, 20),
    }
    name = model.main_input_name
    given = {name: of[name]().double()} if name in of else {name: tokens, "attention_mask": mask}
    return given | ({"decoder_input_ids": tokens} if model.config.is_encoder_decoder else {})


def outputs(model, given):
    out = model(**given)[0]
    padded = "attention_mask" in given and not model.config.is_encoder_decoder
    return out[given["attention_mask"].bool()] if padded else out


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=pytest.mark.slow) if k in SLOW else k for k in MODELS]
)
def test_log_sum_exp_leaves_the_model_as_it_was(kind):
    """Whoever scales the queries, and by how much; and another energy runs in every layer."""
    model = make(kind, MODELS[kind])
    given = batch(kind, model)
    ours = energize(copy.deepcopy(model), registry=REGISTRY)
    want = outputs(model, given)
    torch.testing.assert_close(outputs(ours, given), want, rtol=1e-5, atol=1e-5)
    energize(ours, "rbm", steps=2, registry=REGISTRY)
    assert (outputs(ours, given) - want).abs().max() > 1e-3


@pytest.mark.parametrize("kind", REFUSED)
def test_what_energies_do_not_do_is_refused_when_they_are_made(kind):
    sizes, message = REFUSED[kind]
    model = make(kind, sizes)
    with pytest.raises(ValueError, match=message):
        energize(model, registry=REGISTRY)
    assert model.config._attn_implementation == "eager"
    assert not any("energy_heads" in key for key in model.state_dict())
    if kind == "gemma2":  # without the cap there is nothing in the way
        model = make(kind, {**sizes, "attn_logit_softcapping": None})
        given = batch(kind, model)
        want = outputs(model, given)
        energize(model, registry=REGISTRY)
        torch.testing.assert_close(outputs(model, given), want, rtol=1e-5, atol=1e-5)


def test_a_bias_for_positions_needs_a_field():
    model = make("t5", T5)
    with pytest.raises(ValueError, match=r"adds a bias for positions .* reads no field h"):
        energize(model, "learned", registry=REGISTRY)
    assert model.config._attn_implementation == "eager"


ALL_ATTENTION_FUNCTIONS = {"eager": lambda *_, **__: None}


def asking(**attributes):
    """A decorator: a module whose forward is the function."""

    def module(forward):
        made = type("Asking", (nn.Module,), {"forward": forward})()
        made.__dict__.update(attributes)
        return made

    return module


def test_the_scale_is_what_the_call_will_say():
    @asking(scaling=0.3)
    def attribute(self, q):
        attention: object = ALL_ATTENTION_FUNCTIONS["eager"]
        return attention(self, q, scaling=self.scaling)

    @asking(scaling=0.3)
    def number(self, q):
        attention = ALL_ATTENTION_FUNCTIONS["eager"]
        return attention(self, q, scaling=1.0, softcap=None)

    @asking(config=nn.Module())
    def none(self, q):
        attention = ALL_ATTENTION_FUNCTIONS["eager"]
        return attention(self, q)

    @asking(width=16)
    def arithmetic(self, q):
        attention = ALL_ATTENTION_FUNCTIONS["eager"]
        return attention(self, q, scaling=-(-2 * self.width**-0.5))

    @asking()
    def local(self, q):
        attention, scale = ALL_ATTENTION_FUNCTIONS["eager"], q.mean()
        attention = ALL_ATTENTION_FUNCTIONS["eager"]
        return attention(self, q, scaling=scale)

    @asking(scaling=torch.ones(1))
    def learned(self, q):
        attention = ALL_ATTENTION_FUNCTIONS["eager"]
        return attention(self, q, scaling=self.scaling)

    @asking(scaling=0.3)
    def two(self, q):
        attention = ALL_ATTENTION_FUNCTIONS["eager"]
        return attention(self, q, scaling=1.0), attention(self, q, scaling=self.scaling)

    @asking(cap=20.0)
    def capped(self, q):
        attention = ALL_ATTENTION_FUNCTIONS["eager"]
        return attention(self, q, scaling=1.0, softcap=self.cap)

    for module, want in ((attribute, 0.3), (number, 1.0), (none, 0.25), (arithmetic, 0.5)):
        assert asked_scale("a", module, 16) == pytest.approx(want)
        check_asked("a", module, make_energy("learned", dim=4, registry=REGISTRY))
    for module, message in (
        (local, r"'a' \(Asking\) scales its scores by `scale`, which is no number"),
        (learned, "by `self.scaling`, which is no number"),
        (two, r"now by one number, now by another: 0\.3, 1"),
    ):
        with pytest.raises(ValueError, match=message):
            asked_scale("a", module, 16)
    with pytest.raises(ValueError, match="asks its attention for softcap"):
        check_asked("a", capped, make_energy("lse", dim=4, registry=REGISTRY))


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_of_the_attention_gets_a_gradient(name):
    """The model's own maps too, where the energy does not read what they make."""
    model = energize(make("bert", MODELS["bert"]), name, registry=REGISTRY)
    model(input_ids=torch.randint(3, VOCABULARY, (B, L)))[0].square().sum().backward()
    idle = {
        key
        for key, p in model.named_parameters()
        if p.requires_grad and p.grad is None and not key.startswith("pooler")
    }
    assert idle == set()


OWN = [({}, 0.5), ({"scale": 0.3}, 0.3), ({"scaling": 2}, 2.0)]


@pytest.mark.parametrize(("given", "scale"), OWN)
def test_the_scale_of_a_module_without_source(given, scale):
    module = type("Own", (nn.Module,), {"forward": len})()  # a built-in function has none
    for name, value in given.items():
        setattr(module, name, value)
    assert asked_scale("own", module, 4) == pytest.approx(scale)


@pytest.mark.usefixtures("lone_process_group")
def test_distributed_training_goes_on():
    config = hf.LlamaConfig(**LLAMA)
    for name in ("uhop", "classical_hopfield", "causal_tokens"):
        energised = energize(hf.LlamaForCausalLM(config), name, registry=REGISTRY)
        model = nn.parallel.DistributedDataParallel(energised)
        for _ in range(2):
            model(torch.randint(3, VOCABULARY, (B, L))).logits.sum().backward()


def test_frozen_weights_and_hooks_stay():
    model, seen = make("bert", MODELS["bert"]).requires_grad_(False), []
    for module in attention_modules(model).values():
        module.register_forward_hook(lambda *_: seen.append(1))
    energize(model, "rbm", registry=REGISTRY)
    model(input_ids=torch.randint(3, VOCABULARY, (B, L)))
    assert len(seen) == 2
    assert all(".energy_heads." in key for key, p in model.named_parameters() if p.requires_grad)


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match="model must be a torch module, got str"):
        energize("bert", registry=REGISTRY)
