"""Energies inside small Hugging Face models, built from configurations without a download."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
import transformers as hf

from attenergy.attention import relax
from attenergy.attention.integrations.heads import EnergyHeads
from attenergy.attention.integrations.huggingface import (
    attention_modules,
    energize,
    energy_attention,
    load_energized,
)
from attenergy.energies import make_energy
from tests.attention.conftest import REGISTRY
from tests.attention.integrations.conftest import (
    HF_B,
    HF_L,
    HF_MODELS,
    VOCABULARY,
    hf_batch,
    hf_model,
    padding,
    shown,
)

NAMES = list(REGISTRY.energies)
B, L = HF_B, HF_L
ENERGIES = {n: make_energy(n, dim=4, registry=REGISTRY) for n in NAMES}
INTERACTING = [n for n in NAMES if ENERGIES[n].states_interact]


@pytest.mark.parametrize("name", HF_MODELS)
def test_one_step_of_log_sum_exp_is_the_model_as_it_was(name, monkeypatch):
    """Outputs, attentions and the gradients of every parameter, with padding; t5 adds a bias."""
    model, inputs = hf_model(name), hf_batch(name)
    ours, calls = energize(copy.deepcopy(model), registry=REGISTRY), []
    original = EnergyHeads.forward
    monkeypatch.setattr(
        EnergyHeads, "forward", lambda *a, **k: calls.append(a[0]) or original(*a, **k)
    )
    want, got = model(**inputs, output_attentions=True), ours(**inputs, output_attentions=True)
    assert len(calls) == len(set(calls)) == len(attention_modules(ours)) > 0
    close = {"rtol": 1e-5, "atol": 1e-6}  # some models take softmax in float32
    torch.testing.assert_close(shown(name, got[0]), shown(name, want[0]), **close)
    torch.testing.assert_close(shown(name, ours(**inputs)[0]), shown(name, want[0]), **close)
    kinds = [kind for kind in want if kind.endswith("attentions")]
    assert kinds
    for kind in kinds:
        assert len(got[kind]) == len(want[kind])
        for mine, theirs in zip(got[kind], want[kind], strict=True):
            rows = [shown(name, x.transpose(1, 2)) for x in (mine, theirs)]
            torch.testing.assert_close(*rows, **close)
    for model_, out in ((model, want), (ours, got)):
        shown(name, out[0]).square().sum().backward()
        assert model_ is model or len(list(ours.parameters())) > len(list(model.parameters()))
    named = dict(ours.named_parameters())
    for key, weight in model.named_parameters():
        if weight.grad is None:
            assert named[key].grad is None
        else:
            scale = weight.grad.abs().max().item()
            torch.testing.assert_close(
                named[key].grad, weight.grad, rtol=1e-4, atol=1e-6 * max(scale, 1.0)
            )
    betas = [w for key, w in named.items() if "energy_heads" in key]
    assert len(betas) == len(calls) // 2
    assert all(w.grad is not None and w.grad.any() for w in betas)


@pytest.mark.parametrize("energy", ["lse", "rbm"])
@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_masks_act(name, energy):
    """What is hidden by padding or causality has no influence; and without the mask it has."""
    model = energize(hf_model(name), energy, registry=REGISTRY, steps=2)
    inputs = hf_batch(name)
    out = model(**inputs)[0]
    other = inputs["input_ids"].clone()
    other[0, -2:] = (other[0, -2:] + 5) % VOCABULARY
    changed = model(input_ids=other, attention_mask=inputs["attention_mask"])[0]
    torch.testing.assert_close(changed[0, :-2], out[0, :-2])
    if name == "bert":
        seen = model(input_ids=inputs["input_ids"])[0]
        assert (seen[0, 0] - out[0, 0]).abs().max() > 1e-3
    else:
        later = inputs["input_ids"].clone()
        later[:, 3:] = 7
        torch.testing.assert_close(model(input_ids=later)[0][:, :3], out[:, :3])
        assert (model(input_ids=later)[0][:, 3:] - out[:, 3:]).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_tokens_are_generated_as_before(name):
    """With a cache, grouped heads (llama) and padding on the left."""
    model = hf_model(name).float()  # llama's own softmax, in float32, is nan for the lowest float64
    tokens, mask = torch.randint(3, VOCABULARY, (B, L)), padding().flip(1)
    options = {"attention_mask": mask, "max_new_tokens": 8, "min_new_tokens": 8}
    want = model.generate(tokens, do_sample=False, **options)
    assert want[:, L:].unique().numel() > 2
    energize(model, registry=REGISTRY)
    got = model.generate(tokens, do_sample=False, **options)
    assert torch.equal(got, want)


# From transformers 5.24 the argument has a shorter name beside this one.
@pytest.mark.filterwarnings("ignore:.past_key_values. is deprecated:FutureWarning")
@pytest.mark.parametrize("energy", ["rbm", "polynomial", "uhop"])
def test_the_cache_changes_nothing(energy):
    model = energize(hf_model("llama"), energy, registry=REGISTRY, steps=3)
    tokens = torch.randint(3, VOCABULARY, (B, L))
    whole = model(tokens).logits
    first = model(tokens[:, :4], use_cache=True)
    rest = model(tokens[:, 4:], past_key_values=first.past_key_values).logits
    torch.testing.assert_close(torch.cat([first.logits, rest], 1), whole)
    assert (whole - energize(model, registry=REGISTRY)(tokens).logits).abs().max() > 1e-3


@pytest.mark.parametrize(("energy", "read"), [("rbm", "weights"), ("uhop", "state")])
def test_steps_and_reading_of_grouped_heads(energy, read):
    """One call written out: H = 4 queries on G = 2 keys, a mask, three steps."""
    model = energize(
        hf_model("llama"), energy, registry=REGISTRY, steps=3, step_size=0.8, read=read
    )
    module = attention_modules(model)["model.layers.1.self_attn"]
    draw = lambda heads, n: torch.randn(B, heads, n, 6, dtype=torch.float64)  # noqa: E731
    q, k, v = draw(4, L), draw(2, 5), draw(2, 5)
    hidden = torch.rand(B, 1, L, 5) < 0.4
    hidden[..., 0] = False
    numbers = torch.zeros(B, 1, L, 5).double().masked_fill(hidden, torch.finfo(torch.float64).min)
    got, weights = energy_attention(module, q, k, v, numbers, scaling=module.scaling)
    energy = module.energy_heads.energy
    k, v = (torch.stack([x[:, 0], x[:, 0], x[:, 1], x[:, 1]], 1) for x in (k, v))
    steps = 2 if read == "weights" else 3
    state = relax(energy, q, k, mask=~hidden, steps=steps, step_size=0.8, backend="eager").state
    want = energy.weights(state, k, ~hidden, None) @ v if read == "weights" else state
    torch.testing.assert_close(got, want.transpose(1, 2))
    assert weights is None
    seen = energy_attention(module, q, k[:, ::2], v[:, ::2], ~hidden, scaling=module.scaling)[0]
    assert torch.equal(seen, got)


@pytest.mark.parametrize("energy", NAMES)
def test_every_energy_runs_and_trains_in_a_model_without_causality(energy):
    model = energize(hf_model("bert"), energy, registry=REGISTRY, steps=2)
    inputs = hf_batch("bert")
    out = model(**inputs, output_attentions=True)
    shown("bert", out[0]).square().sum().backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(g.isfinite().all() for g in grads)
    shapes = [(B, 4, L, L)] * 2 if ENERGIES[energy].has_weights else []
    assert [tuple(weights.shape) for weights in out.attentions] == shapes


@pytest.mark.parametrize("energy", INTERACTING)
def test_coupled_states_are_refused_where_they_do_not_fit(energy):
    for name, message in (
        ("llama", "is causal: later ones"),
        ("t5", "causal|two sequences|reads no field"),
    ):
        model = hf_model(name)
        with pytest.raises(ValueError, match=message):
            energize(model, energy, registry=REGISTRY)
        assert model.config._attn_implementation == "eager"
        assert not any("energy_heads" in key for key in model.state_dict())


def test_beta_starts_at_the_scale_of_each_layer():
    model = energize(hf_model("gpt2", scale_attn_by_inverse_layer_idx=True), registry=REGISTRY)
    starts = [m.energy_heads.energy.values()["beta"] for m in attention_modules(model).values()]
    for beta, layer in zip(starts, (1, 2), strict=True):
        torch.testing.assert_close(beta, torch.full((4, 1, 1), 6**-0.5 / layer).double())
    chosen = energize(hf_model("gpt2"), registry=REGISTRY, beta=0.3)
    beta = attention_modules(chosen)["transformer.h.0.attn"].energy_heads.energy.values()["beta"]
    torch.testing.assert_close(beta, torch.full((4, 1, 1), 0.3).double())


@pytest.mark.parametrize("name", ["llama", "bert", "vit"])
def test_attention_dropout_is_the_models(name):
    """The same draw as in the model's own attention; none outside training."""
    where = "attention_dropout" if name == "llama" else "attention_probs_dropout_prob"
    hidden = {} if name == "llama" else {"hidden_dropout_prob": 0.0}
    model, inputs = hf_model(name, **{where: 0.5}, **hidden), hf_batch(name)
    ours = energize(copy.deepcopy(model), registry=REGISTRY)
    still = ours(**inputs)[0]
    outs = []
    for each in (model.train(), ours.train()):
        torch.manual_seed(4)
        outs.append(shown(name, each(**inputs)[0]))
    torch.testing.assert_close(*outs, rtol=1e-5, atol=1e-6)
    assert (outs[1] - shown(name, still)).abs().max() > 1e-3


def test_an_energy_is_exchanged_for_another():
    model = energize(hf_model("bert"), "sparsemax", registry=REGISTRY)
    before = len(model.state_dict())
    energize(model, "lse", registry=REGISTRY)
    assert len(model.state_dict()) == before
    plain = hf_model("bert")
    plain.load_state_dict(model.state_dict(), strict=False)
    inputs = hf_batch("bert")
    torch.testing.assert_close(
        shown("bert", model(**inputs)[0]), shown("bert", plain(**inputs)[0]), rtol=1e-6, atol=1e-7
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "llama", "vit"])
def test_compiles_to_one_graph(name):
    model, inputs = hf_model(name, num_hidden_layers=1), hf_batch(name)
    energize(model, "rbm", registry=REGISTRY, steps=2)
    whole = torch.compile(model, fullgraph=True, backend="eager")
    options = {} if name == "vit" else {"use_cache": False}
    with torch.no_grad():
        torch.testing.assert_close(whole(**inputs, **options)[0], model(**inputs, **options)[0])


def test_one_call_compiles_to_one_graph():
    module = attention_modules(energize(hf_model("llama"), "rbm", registry=REGISTRY, steps=2))
    module = module["model.layers.0.self_attn"]
    q, k = (torch.randn(B, heads, L, 6, dtype=torch.float64) for heads in (4, 2))
    mask = torch.zeros(1, 1, L, L).double().masked_fill(~torch.ones(L, L).bool().tril(), -torch.inf)
    call = lambda q: energy_attention(module, q, k, k, mask, scaling=module.scaling)[0]  # noqa: E731
    torch.testing.assert_close(torch.compile(call, fullgraph=True, backend="eager")(q), call(q))


def test_copies_are_independent():
    model = energize(hf_model("bert"), registry=REGISTRY)
    twin, inputs = copy.deepcopy(model), hf_batch("bert")
    assert torch.equal(twin(**inputs)[0], model(**inputs)[0])
    with torch.no_grad():
        twin.encoder.layer[0].attention.self.energy_heads.energy.parameters_.raw["beta"].add_(1.0)
    assert not torch.equal(twin(**inputs)[0], model(**inputs)[0])


def test_models_and_calls_that_do_not_fit():
    with pytest.raises(ValueError, match="has no attention that goes through the attention"):
        energize(hf.ResNetModel(hf.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1])))
    with pytest.raises(TypeError, match="got a Sequential around one"):
        energize(torch.nn.Sequential(hf_model("bert")))
    with pytest.raises(ValueError, match="did you mean 'lse'"):
        energize(hf_model("bert"), "lsee", registry=REGISTRY)
    model = hf_model("bert")
    with pytest.raises(ValueError, match="did you mean 'beta'"):
        energize(model, betta=1.0, registry=REGISTRY)
    model.set_attn_implementation("energy")
    with pytest.raises(ValueError, match="BertSelfAttention has no energy: call"):
        model(**hf_batch("bert"))
    module = attention_modules(energize(model, "uhop", registry=REGISTRY))
    module = module["encoder.layer.0.attention.self"]
    x = torch.randn(B, 4, L, 6, dtype=torch.float64)
    with pytest.raises(ValueError, match="read by its state, of width 6"):
        energy_attention(module, x, x, x[..., :5], None, scaling=module.scaling)
    with pytest.raises(ValueError, match="asks for softcap"):
        energy_attention(module, x, x, x, None, scaling=module.scaling, softcap=50.0)
    with pytest.raises(ValueError, match=r"scales its scores by 1 now, but by 0\.408"):
        energy_attention(module, x, x, x, None, scaling=1.0)


def test_energies_of_the_states_alone_take_no_cache():
    model = energize(hf_model("llama"), "causal_tokens", registry=REGISTRY)
    tokens = torch.randint(3, VOCABULARY, (1, L))
    assert model(tokens).logits.isfinite().all()
    with pytest.raises(ValueError, match="neither other patterns nor a cache"):
        model.generate(tokens, max_new_tokens=3, do_sample=False)


def test_without_transformers_the_install_line_is_shown(monkeypatch):
    model = hf_model("bert")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install attenergy\[hf\]"):
        energize(model, registry=REGISTRY)
    with pytest.raises(ImportError, match=r"pip install attenergy\[hf\]"):
        load_energized(type(model), "anywhere")
