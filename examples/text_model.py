"""A language model of bytes, trained on the source text of Python's standard library.

Softmax attention and energies in turn, in bits per byte, beside models without attention: one byte
by itself, a byte given the one before, and zlib.

    python examples/text_model.py --steps 1000 --layers softmax lse rbm
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

import attenergy
from attenergy.tasks import Task

WINDOWS = 2048  # of the training text, from which the models without attention count
LAYERS = ("softmax", "lse", "linear_attention")


def main(
    steps: int = 1000, layers: Sequence[str] = LAYERS, length: int = 64, evaluated: int = 512
) -> dict[str, float]:
    """Return bits per byte on the test pages, the fewer the better.

    Args:
        steps: of training, each of 32 windows.
        layers: energies and mixers of the registry; every block of a model has the same.
        length: bytes of a window.
        evaluated: windows of the test pages.
    """
    task = attenergy.make_task("text", length=length)
    bits = {"chance": task.chance["bits_per_byte"], **without_attention(task, evaluated)}
    for name, value in bits.items():
        print(f"{name:16} {value:.2f} bits per byte")
    for name in layers:
        model = trained(task, name, steps)
        scores = task.evaluate(lambda b, m=model: m(b.inputs), "test", evaluated)
        bits[name] = scores["bits_per_byte"]
        start, draws = torch.tensor([list(b"def ")]), torch.Generator().manual_seed(0)
        text = model.generate(start, 60, temperature=0.5, generator=draws)
        print(f"{name:16} {bits[name]:.2f} bits per byte, writes {bytes(text[0].tolist())!r}")
    return bits


def trained(task: Task, name: str, steps: int) -> attenergy.LanguageModel:
    """Two blocks with layers of one name; the same seed and windows for every name."""
    torch.manual_seed(0)
    model = attenergy.LanguageModel(
        vocabulary=256, length=task.inputs.length, width=64, heads=4, layers=[name, name], mlp=256
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for step in range(steps):
        batch = task.batch("train", 32 * step, 32)
        loss = task.loss(model(batch.inputs), batch.targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


def without_attention(task: Task, evaluated: int) -> dict[str, float]:
    """Bits per byte of the test windows by counts in the training text, and by zlib."""

    def pairs(split: str, count: int) -> tuple[Tensor, Tensor]:
        batch = task.batch(split, 0, count)
        return batch.inputs.flatten(), batch.targets.flatten()

    before, after = pairs("train", WINDOWS)
    counts = torch.zeros(256, 256).index_put_((before, after), torch.tensor(1.0), accumulate=True)
    single = counts.sum(0) + 0.1
    single = single / single.sum()
    double = (counts + 2 * single) / (counts.sum(1, keepdim=True) + 2)  # unseen pairs as by single
    before, after = pairs("test", evaluated)
    packed = zlib.compress(bytes(after.tolist()), 9)
    return {
        "one byte": -single[after].log2().mean().item(),
        "two bytes": -double[before, after].log2().mean().item(),
        "zlib": 8 * len(packed) / len(after),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000, help="of training")
    parser.add_argument("--layers", nargs="+", default=LAYERS, help="energies and mixers")
    main(**vars(parser.parse_args()))
