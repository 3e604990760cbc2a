"""Models of one configuration: only the one that gets energies computes with them."""

from __future__ import annotations

import gc
import types

import pytest
import torch
import transformers as hf

from attenergy.attention.integrations.huggingface import (
    attention_modules,
    energize,
    load_energized,
)
from tests.attention.conftest import REGISTRY
from tests.attention.integrations.test_huggingface_models import MODELS, batch

CLASSES = {
    "llama": "LlamaForCausalLM", "bert": "BertForSequenceClassification", "gpt2": "GPT2LMHeadModel",
    "opt": "OPTForCausalLM", "t5": "T5ForConditionalGeneration", "vit": "ViTModel",
    "whisper": "WhisperForConditionalGeneration", "bart": "BartModel", "wav2vec2": "Wav2Vec2Model",
}  # fmt: skip
TOWER = {
    "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 16,
}  # fmt: skip


def configuration(kind):
    return hf.AutoConfig.for_model(kind, **MODELS[kind])


def made(kind, config):
    return getattr(hf, CLASSES[kind])(config).double().eval()


def clip():
    texts = {**TOWER, "vocab_size": 29, "eos_token_id": 2}
    pictures = {**TOWER, "image_size": 8, "patch_size": 4}
    return hf.CLIPConfig(text_config=texts, vision_config=pictures, projection_dim=8)


def configurations(root):
    """All configurations that a model reaches, whoever holds them, by identity."""
    seen, found, open_ = set(), {}, [root]
    skipped = (type, types.ModuleType, types.BuiltinFunctionType, torch.Tensor)
    while open_:
        one = open_.pop()
        if id(one) in seen or isinstance(one, skipped):
            continue
        seen.add(id(one))
        if isinstance(one, types.FunctionType):  # not its module's names
            open_.extend(cell.cell_contents for cell in one.__closure__ or ())
            continue
        if isinstance(one, hf.PreTrainedConfig):
            found[id(one)] = one
        open_.extend(gc.get_referents(one))
    return found


def first(model, given):
    return model(**given)[0]


@pytest.mark.parametrize("energized_first", [True, False])
@pytest.mark.parametrize("kind", CLASSES)
def test_other_models_of_the_configuration_stay_as_they_were(kind, energized_first, tmp_path):
    config = configuration(kind)
    said = config.to_dict()
    models = made(kind, config), made(kind, config)
    new, base = models if energized_first else models[::-1]
    given = batch(kind, base)
    want, before = first(base, given), first(new, given)
    assert energize(new, "rbm", steps=2, registry=REGISTRY) is new
    assert torch.equal(first(base, given), want)
    assert (first(new, given) - before).abs().max() > 1e-9
    assert config.to_dict() == said
    assert not configurations(new).keys() & configurations(base).keys()
    later = made(kind, config)
    later.load_state_dict(base.state_dict())
    assert torch.equal(first(later, given), want)
    base.save_pretrained(tmp_path / "base")
    again = type(base).from_pretrained(tmp_path / "base", dtype=torch.float64)
    torch.testing.assert_close(first(again, given), want)
    new.save_pretrained(tmp_path / "new")
    loaded = load_energized(type(new), tmp_path / "new", dtype=torch.float64)
    torch.testing.assert_close(first(loaded, given), first(new, given))


def test_models_of_texts_and_pictures():
    """Configurations that are parts of others stay parts of them."""
    config = clip()
    new, base = (hf.CLIPModel(config).double().eval() for _ in range(2))
    given = {
        "input_ids": torch.tensor([[3, 4, 5, 2]]),
        "pixel_values": torch.randn(1, 3, 8, 8, dtype=torch.float64),
    }
    want = base(**given).logits_per_text
    energize(new, registry=REGISTRY)
    assert torch.equal(base(**given).logits_per_text, want)
    assert new.config.text_config is new.text_model.config
    assert new.config.vision_config is new.vision_model.config
    assert not configurations(new).keys() & configurations(base).keys()
    assert len(configurations(new)) == len(configurations(base))


@pytest.mark.parametrize("kind", ["llama", "t5", "whisper"])
def test_every_module_sees_the_new_configuration(kind):
    model = energize(made(kind, configuration(kind)), registry=REGISTRY)
    for module in attention_modules(model).values():
        assert module.config._attn_implementation == "energy"
    known = configurations(model)
    assert id(model.config) in known
    assert len(known) == len(configurations(made(kind, configuration(kind))))


def test_both_generate_side_by_side():
    config = configuration("llama")
    base, new = made("llama", config), made("llama", config)
    tokens = torch.tensor([[3, 4, 5]])
    options = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 0}
    want = base.generate(tokens, **options)
    new.load_state_dict(base.state_dict())
    energize(new, registry=REGISTRY)
    assert torch.equal(new.generate(tokens, **options), want)
    assert torch.equal(base.generate(tokens, **options), want)


def test_two_energies_and_what_is_set_later_are_kept_apart(tmp_path):
    config = configuration("llama")
    one = energize(made("llama", config), "rbm", steps=2, registry=REGISTRY)
    other = energize(made("llama", config), "lse", steps=3, registry=REGISTRY)
    one.model.layers[0].self_attn.energy_heads.steps = 4
    assert "changed" not in other.config.attenergy
    assert (one.config.attenergy["steps"], other.config.attenergy["steps"]) == (2, 3)
    for _ in range(2):  # also of a model that was loaded
        one.save_pretrained(tmp_path)
        one = load_energized(hf.LlamaForCausalLM, tmp_path, dtype=torch.float64)
        assert one.model.layers[0].self_attn.energy_heads.steps == 4
        one.model.layers[1].self_attn.energy_heads.steps = 6
    one = load_energized(hf.LlamaForCausalLM, tmp_path, dtype=torch.float64)
    assert [h.energy_heads.steps for h in attention_modules(one).values()] == [4, 6]


def test_a_model_that_is_refused_keeps_its_configuration(monkeypatch):
    config = configuration("llama")
    model = made("llama", config)
    monkeypatch.setattr(type(model), "set_attn_implementation", lambda *_: None)
    with pytest.raises(ValueError, match="keeps the attention"):
        energize(model, registry=REGISTRY)
    assert configurations(model).keys() == {id(config)}
    assert not any("energy_heads" in key for key in model.state_dict())


def test_what_is_no_folder_is_refused_in_a_sentence(tmp_path):
    model = energize(made("llama", configuration("llama")), registry=REGISTRY)
    model.save_pretrained(tmp_path)
    for path, error, message in (
        (tmp_path / "config.json", ValueError, f"is a file; .* wrote a folder, here {tmp_path}"),
        (str(tmp_path / "model.safetensors"), ValueError, "is a file"),
        (None, ValueError, "got None; without one give both `config` and `state_dict`"),
        ("", ValueError, "got an empty text"),
        (3, TypeError, "got int"),
        (b"x", TypeError, "got bytes"),
    ):
        with pytest.raises(error, match=message):
            load_energized(hf.LlamaForCausalLM, path)
