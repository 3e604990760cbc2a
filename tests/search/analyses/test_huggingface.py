"""Folders of Hugging Face models: with weights, at random, energized, and hostile ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("transformers")

import transformers

from attenergy.attention import energize
from attenergy.registry import ArgumentError
from attenergy.search.analyses.huggingface import is_huggingface, load_huggingface
from attenergy.search.analyses.sources import Loading, find_source
from attenergy.search.analyses.subjects import Feeding, feed

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 40,
    "max_position_embeddings": 24,
}


def small(seed: int = 0) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return transformers.BertForMaskedLM(transformers.BertConfig(**SMALL))


def beside(model: nn.Module) -> torch.Tensor:
    ids = torch.arange(12).reshape(2, 6)
    with torch.no_grad():
        out: torch.Tensor = model.eval()(input_ids=ids).logits
        return out


def test_a_folder_gives_the_model_with_its_weights(tmp_path: Path) -> None:
    model = small()
    model.save_pretrained(tmp_path / "bert")
    assert is_huggingface(tmp_path / "bert")
    made = load_huggingface(tmp_path / "bert")
    assert type(made.model) is type(model)
    assert made.notes == ()
    assert not made.model.training
    assert torch.equal(beside(made.model), beside(model))


def test_random_weights_are_said_to_be_random(tmp_path: Path) -> None:
    transformers.BertConfig(**SMALL).save_pretrained(tmp_path)
    first, again = (load_huggingface(tmp_path, from_config=True, seed=3) for _ in range(2))
    assert first.notes == ("random weights of seed 3 (--from-config): nothing here was learned",)
    same = zip(first.model.parameters(), again.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    with pytest.raises(ArgumentError, match="--from-config takes random weights"):
        load_huggingface(tmp_path)


@pytest.mark.parametrize("at_random", [False, True])
def test_an_energized_folder_is_energized(tmp_path: Path, at_random: bool) -> None:
    model = energize(small(seed=5), "lse", steps=2)
    model.save_pretrained(tmp_path)
    made = load_huggingface(tmp_path, from_config=at_random)
    names = {name for name, _ in made.model.named_parameters()}
    assert names == {name for name, _ in model.named_parameters()}
    assert torch.equal(beside(made.model), beside(model)) is not at_random


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "brt"}, "did you mean 'bert'"),
        ({"model_type": ["x"]}, "code that comes with a model is never run"),
        ({"model_type": "bert", "hidden_size": "many"}, "hidden_size"),
        ({"model_type": "bert", "hidden_size": 7}, "cannot be built"),
        ({**SMALL, "model_type": "bert", "vocab_size": 10**10}, "--anyway builds it"),
    ],
)
def test_what_cannot_be_built_is_refused(tmp_path: Path, config: dict[str, Any], said: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArgumentError, match=said):
        load_huggingface(tmp_path, from_config=True)


def test_a_configuration_that_its_weights_do_not_explain_is_refused(tmp_path: Path) -> None:
    small().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "vocab_size": 10**8}))
    with pytest.raises(ArgumentError, match="--anyway builds it"):
        load_huggingface(tmp_path)


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    small().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ArgumentError, match="they may run code"):
        load_huggingface(tmp_path)


def test_random_tokens_feed_it(tmp_path: Path) -> None:
    small(seed=5).save_pretrained(tmp_path / "bert")
    source = find_source(str(tmp_path / "bert"), Loading())
    subject, notes = feed(source, Feeding(instances=5, batch=2, seed=1))
    assert [batch[1]["input_ids"].shape[0] for batch in subject.batches] == [2, 2, 1]
    ids = subject.batches[0][1]["input_ids"]
    assert ids.shape == (2, 24)  # as long as the model takes
    assert int(ids.max()) < 40
    assert notes == ["inputs: 5 x 24 random token ids of 40, seed 1: no text"]
    assert subject.untrained is not None
    assert not torch.equal(beside(subject.untrained), beside(subject.model))
    with pytest.raises(ArgumentError, match="at most 24"):
        feed(source, Feeding(length=25))


def test_a_text_feeds_it_through_its_tokenizer(tmp_path: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    small().save_pretrained(tmp_path)
    text = tmp_path / "text.txt"
    text.write_text("one two\n\none one two three four\n")
    source = find_source(str(tmp_path), Loading())
    with pytest.raises(ArgumentError, match=r"no tokenizer\.json"):
        feed(source, Feeding(inputs=text))
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "one": 1, "two": 2, "three": 3}, "[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    subject, _ = feed(source, Feeding(inputs=text, length=4))
    ((_, given),) = subject.batches
    assert given["input_ids"].tolist() == [[1, 2, 0, 0], [1, 1, 2, 3]]
    assert given["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert subject.task is None
