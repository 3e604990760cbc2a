"""A ViT and a BERT whose attention becomes an energy: what they know at once, and after tuning.

Run it with `python examples/bert_vit.py`; it takes `pip install "attenergy[hf,data]"`. Both models
are made from a configuration, so nothing is downloaded.

The ViT tells scikit-learn's digits apart, the BERT says at the end of a sequence how it began. Each
is trained with softmax attention, then copied; every copy gets another energy and some more steps.
With `lse` and one step nothing changes; how far the others are from softmax shows at once, and how
much of it a little training makes good, afterwards.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from torch import Tensor
from transformers import (
    BertConfig,
    BertForTokenClassification,
    PreTrainedModel,
    ViTConfig,
    ViTForImageClassification,
)

import attenergy

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
ENERGIES = {"lse": 1, "lse, 3 steps": 3, "sparsemax": 1, "rbm, 2 steps": 2}  # and their steps
Pair = tuple[Tensor, Tensor]  # inputs and targets
Problem = tuple[PreTrainedModel, Callable[[int], Pair], Pair, float]  # model, batches, test, chance


def digits() -> Problem:
    """A ViT of 16 patches, 1500 digits to learn from and 297 to test with."""
    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))
    images = torch.tensor(data.images, dtype=torch.float32)[order, None] / 16
    labels = torch.tensor(data.target)[order]
    picture = {"image_size": 8, "patch_size": 2, "num_channels": 1, "num_labels": 10}
    config = ViTConfig(**SIZES, **picture, num_attention_heads=4)

    def draw(number: int) -> Pair:
        some = torch.randint(1500, (64,), generator=torch.Generator().manual_seed(number))
        return images[some], labels[some]

    return ViTForImageClassification(config), draw, (images[1500:], labels[1500:]), 0.1


def beginnings() -> Problem:
    """A BERT on the task latch: the first of 20 symbols is answered at the last one."""
    task = attenergy.make_task("latch")
    symbols = {"vocab_size": task.inputs.size, "num_labels": 2, "max_position_embeddings": 20}
    config = BertConfig(**SIZES, **symbols, num_attention_heads=4)

    def draw(number: int, split: str = "train", size: int = 64) -> Pair:
        batch = task.batch(split, size * number, size)
        return batch.inputs, batch.targets

    return BertForTokenClassification(config), draw, draw(0, "test", 512), 0.5


def train(model: PreTrainedModel, draw: Callable[[int], Pair], steps: range) -> None:
    """Plain training."""
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=3e-3)
    for step in steps:
        inputs, labels = draw(step)
        loss = model(inputs, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def accuracy(model: PreTrainedModel, test: Pair) -> float:
    """Share of right answers where there is one to give."""
    answers, labels = model.eval()(test[0]).logits.argmax(-1), test[1]
    return (answers == labels)[labels != -100].float().mean().item()


def main(steps: int = 300, tuning: int = 100) -> dict[str, dict[str, tuple[float, float]]]:
    """Return the accuracy of every model and energy, right after the exchange and after tuning."""
    results: dict[str, dict[str, tuple[float, float]]] = {}
    for name, make in (("ViT on digits", digits), ("BERT on beginnings", beginnings)):
        torch.manual_seed(0)
        model, draw, test, chance = make()
        print(f"{name}: chance {chance:.3f}, untrained {accuracy(model, test):.3f}")
        train(model, draw, range(steps))
        results[name] = {}
        for energy in ("softmax", *ENERGIES):
            changed = copy.deepcopy(model)
            if energy != "softmax":
                attenergy.energize(changed, energy.split(",")[0], steps=ENERGIES[energy])
            before = accuracy(changed, test)
            train(changed, draw, range(steps, steps + tuning))
            results[name][energy] = before, accuracy(changed, test)
            print(f"  {energy:12} {before:.3f}, tuned {results[name][energy][1]:.3f}")
    return results


if __name__ == "__main__":
    main()
