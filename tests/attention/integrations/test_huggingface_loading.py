"""Energized Hugging Face models: saved, and loaded again."""

from __future__ import annotations

import copy
import json

import pytest
import torch
import transformers as hf

from attenergy.attention.integrations.huggingface import (
    attention_modules,
    energize,
    load_energized,
)
from attenergy.energies import CLASSES
from attenergy.registry import EnergySpec
from tests.attention.conftest import REGISTRY
from tests.attention.integrations.conftest import (
    COMMON,
    HF_B,
    HF_L,
    VOCABULARY,
    hf_batch,
    hf_model,
    shown,
)

NAMES = list(REGISTRY.energies)
B, L = HF_B, HF_L
LLAMA = {
    **COMMON, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 16, "num_key_value_heads": 2, "head_dim": 6,
}  # fmt: skip


def trained(name, *args, **options):
    """An energized model after a step of an optimiser on all of its parameters."""
    model = energize(hf_model(name), *args, registry=REGISTRY, **options)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    inputs = hf_batch(name)
    shown(name, model(**inputs)[0]).square().mean().backward()
    optimiser.step()
    return model, inputs


def test_a_model_says_which_plugin_its_energy_needs(tmp_path):
    CLASSES.register(type("OwnMemory", (CLASSES["TwoLayer"],), {}))
    try:
        entry = next(e for e in REGISTRY.energies.values() if e.class_ == "TwoLayer")
        trained("bert", entry.model_copy(update={"class_": "OwnMemory"}))[0].save_pretrained(
            tmp_path
        )
        (need,) = json.loads((tmp_path / "config.json").read_text())["attenergy"]["plugins"]
        assert need["module"] == __name__
        assert need["provides"] == {"energy class": ["OwnMemory"]}
        load_energized(hf.BertModel, tmp_path)
    finally:
        del CLASSES["OwnMemory"], CLASSES.owners["OwnMemory"]
    with pytest.raises(ValueError, match=r"is needed .energy class 'OwnMemory'. and not loaded"):
        load_energized(hf.BertModel, tmp_path)


@pytest.mark.parametrize("energy", ["lse", "rbm", "uhop", "learned", "energy_transformer"])
def test_saved_models_come_back_with_what_their_energies_learned(energy, tmp_path):
    model, inputs = trained("bert", energy, steps=2, step_size=0.5)
    model.save_pretrained(tmp_path)
    loaded = load_energized(hf.BertModel, tmp_path, dtype=torch.float64)
    assert type(loaded) is hf.BertModel
    assert not loaded.training
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert torch.equal(loaded(**inputs)[0], model(**inputs)[0])
    again = tmp_path / "again"
    loaded.save_pretrained(again)
    config = json.loads((again / "config.json").read_text())
    assert config["architectures"] == ["BertModel"]
    assert config["attenergy"]["energy"]["title"] == REGISTRY.energies[energy].title
    twin = load_energized(hf.AutoModel, again, dtype=torch.float64)
    assert torch.equal(twin(**inputs)[0], model(**inputs)[0])


def test_a_formula_comes_back_and_a_function_says_that_it_does_not(tmp_path):
    def pull(xi, X, beta=0.5):
        return 0.5 * xi @ xi - (beta * (X @ xi)).logsumexp(0) / beta

    formula = "0.5*|xi|^2 - lse(beta * X @ xi + h)/beta - bend*|xi|"
    declared = {"init": 0.1, "learnable": "shared"}
    model, inputs = trained("llama", formula, steps=2, bend=declared)
    model.save_pretrained(tmp_path)
    loaded = load_energized(hf.AutoModelForCausalLM, tmp_path, dtype=torch.float64)
    assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)
    energize(model, pull)
    with pytest.raises(ValueError, match=r"function of yours, 'pull'.*register_energy"):
        model.save_pretrained(tmp_path)
    energize(model, "lse").save_pretrained(tmp_path)


def test_an_entry_of_ones_own_comes_back_without_its_registry(tmp_path):
    spec = EnergySpec(
        title="Sharper", formula="0.5*|xi|^2 - lse(b * X @ xi + h)/b",
        parameters={"b": {"init": 0.7, "constraint": "positive"}},
    )  # fmt: skip
    model, inputs = trained("llama", spec, steps=2, learn_step_size="per_head", b=0.9)
    model.save_pretrained(tmp_path)
    loaded = load_energized(hf.AutoModelForCausalLM, tmp_path, dtype=torch.float64)
    assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)
    names = {key.split(".energy_heads.")[1] for key in loaded.state_dict() if "energy_h" in key}
    assert names == {"energy.parameters_.raw.b", "learned_step_size.raw"}
    heads = loaded.model.layers[0].self_attn.energy_heads
    assert heads.energy.spec == spec
    low = load_energized(hf.AutoModelForCausalLM, tmp_path, dtype=torch.bfloat16)
    assert {p.dtype for p in low.parameters()} == {torch.bfloat16}
    assert low(**inputs).logits.isfinite().all()


def test_folders_that_hold_no_energy(tmp_path):
    hf_model("llama").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds no 'attenergy'; it was not energized"):
        load_energized(hf.AutoModelForCausalLM, tmp_path)
    energize(hf_model("llama"), registry=REGISTRY).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config["attenergy"]["stepz"] = 3
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"attenergy\.stepz: Extra inputs are not permitted"):
        load_energized(hf.AutoModelForCausalLM, tmp_path)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(1)
    model = hf.LlamaForCausalLM(hf.LlamaConfig(**LLAMA, attention_dropout=0.0))
    energize(model, "rbm", steps=2, registry=REGISTRY)
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if "energy_heads" in key:
                weight.add_(0.3)
    model.save_pretrained(tmp_path)
    return tmp_path, model.eval()


OPTIONS = [
    ({"use_cache": False}, lambda m: not m.config.use_cache),
    ({"attention_dropout": 0.1}, lambda m: m.model.layers[1].self_attn.attention_dropout == 0.1),
    ({"dtype": torch.float64}, lambda m: m.dtype == torch.float64),
    ({"dtype": "bfloat16"}, lambda m: m.dtype == torch.bfloat16),
    ({"attn_implementation": "energy"}, lambda m: True),
    ({"attn_implementation": None}, lambda m: True),
    ({"ignore_mismatched_sizes": True, "rms_norm_eps": 1e-5}, lambda m: True),
]


@pytest.mark.parametrize("auto", [False, True])
@pytest.mark.parametrize(("options", "check"), OPTIONS)
def test_loading_takes_what_from_pretrained_takes(options, check, auto, folder):
    path, model = folder
    cls = hf.AutoModelForCausalLM if auto else hf.LlamaForCausalLM
    loaded = load_energized(cls, path, **options)
    assert type(loaded) is hf.LlamaForCausalLM
    assert check(loaded)
    want = model.state_dict()
    got = loaded.state_dict()
    assert got.keys() == want.keys()
    assert all(torch.equal(got[key], value.to(got[key].dtype)) for key, value in want.items())


def test_loading_into_another_class_or_configuration(folder):
    path, model = folder
    tokens = torch.randint(3, VOCABULARY, (B, L))
    classifier, info = load_energized(
        hf.LlamaForSequenceClassification, path, num_labels=3, output_loading_info=True
    )
    assert classifier.score.out_features == 3
    assert set(info["missing_keys"]) == {"score.weight"}
    config = hf.LlamaConfig(**LLAMA, use_cache=False)
    assert not hasattr(config, "attenergy")
    for given in (config, str(path), hf.AutoConfig.from_pretrained(path)):
        loaded = load_energized(hf.AutoModelForCausalLM, path, config=given)
        torch.testing.assert_close(loaded(tokens).logits, model(tokens).logits)
        assert loaded.config.attenergy["steps"] == 2
    state = model.state_dict()
    loaded = load_energized(hf.LlamaForCausalLM, None, config=model.config, state_dict=state)
    torch.testing.assert_close(loaded(tokens).logits, model(tokens).logits)
    auto = load_energized(hf.AutoModelForSequenceClassification, path, num_labels=3)
    assert auto.score.out_features == 3
    base = load_energized(hf.AutoModel, path)
    torch.testing.assert_close(base(tokens)[0], model.model(tokens)[0])


def test_options_that_are_set_later_are_saved(folder, tmp_path):
    """For each layer by itself, by a copy too, and into another class."""
    _, model = folder
    twin, tokens = copy.deepcopy(model), torch.randint(3, VOCABULARY, (B, L))
    twin.model.layers[1].self_attn.energy_heads.steps = 5
    twin.model.layers[1].self_attn.energy_heads.step_size = 0.4
    assert "changed" not in model.config.attenergy
    want = twin(tokens).logits
    assert (want - model(tokens).logits).abs().max() > 1e-4
    twin.save_pretrained(tmp_path / "twin")
    again = load_energized(hf.AutoModelForCausalLM, tmp_path / "twin")
    torch.testing.assert_close(again(tokens).logits, want)
    again.save_pretrained(tmp_path / "again")
    base = load_energized(hf.AutoModel, tmp_path / "again")
    assert [m.energy_heads.steps for m in attention_modules(base).values()] == [2, 5]
    torch.testing.assert_close(base(tokens)[0], twin.model(tokens)[0])
    with pytest.raises(ValueError, match="steps must be a whole number"):
        twin.model.layers[1].self_attn.energy_heads.steps = 0


def test_settings_that_no_configuration_can_keep():
    model = hf_model("bert")
    with pytest.raises(ValueError, match=r"beta"):
        energize(model, beta=torch.ones(4, 1, 1), registry=REGISTRY)
    assert model.config._attn_implementation == "eager"


def test_what_loading_refuses(folder):
    path, model = folder
    with pytest.raises(ValueError, match="attn_implementation must be left out or 'energy', got"):
        load_energized(hf.LlamaForCausalLM, path, attn_implementation="sdpa")
    with pytest.raises(TypeError, match="num_labelz"):
        load_energized(hf.LlamaForCausalLM, path, num_labelz=3)
    state = {k: v for k, v in model.state_dict().items() if "1.self_attn.energy_heads" not in k}
    model.save_pretrained(path, state_dict=state)
    with pytest.raises(ValueError, match=r"lacks weights of the energies: .*layers\.1\."):
        load_energized(hf.LlamaForCausalLM, path)
    config = json.loads((path / "config.json").read_text())
    del config["attenergy"]
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="it was not energized"):
        load_energized(hf.LlamaForCausalLM, path, use_cache=False)


def test_a_configuration_of_somebody_else_takes_no_memory(tmp_path):
    energize(
        hf_model("bert", num_hidden_layers=1), "random_features", registry=REGISTRY
    ).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["attenergy"]["settings"] = {"features": 10**8}  # 13 GB of directions
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="larger than the model explains"):
        load_energized(hf.BertModel, tmp_path)
    state = torch.zeros(10**6)  # no allowance is left over
    assert state.sum() == 0


@pytest.mark.by_kind
@pytest.mark.parametrize("name", NAMES)
def test_every_energy_is_saved_and_loaded(name, tmp_path):
    model = energize(hf_model("bert", num_hidden_layers=1), name, registry=REGISTRY)
    model.save_pretrained(tmp_path)
    loaded = load_energized(hf.BertModel, tmp_path, dtype=torch.float64)
    tokens = torch.randint(3, VOCABULARY, (B, L))
    torch.testing.assert_close(loaded(tokens)[0], model(tokens)[0])
