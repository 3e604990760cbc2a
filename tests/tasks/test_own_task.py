"""A task of one's own: one class, one line that registers it, one entry; options written once."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from attenergy.registry import UnknownName, load_registry
from attenergy.tasks import CLASSES, IGNORE, Batch, Inputs, Outputs, Task, make_task, register_task
from attenergy.tasks.core.base import check_whole, scored_hits

ENTRY = """
version: 1
tasks:
  parity-of-bits:
    title: Is the number of ones even?
    class: ParityOfBits
    reference: this test
    options: { bits: 5 }
    model: { layers: 1, width: 8, heads: 1 }
    training: { steps: 10, batch_size: 4, learning_rate: 0.01 }
"""


@pytest.fixture
def registry(tmp_path):
    """The registry with an entry for a task that is defined here."""

    @register_task
    class ParityOfBits(Task):
        """Whether the number of ones among the bits is even."""

        splits = ("train", "valid", "test")
        metric = "accuracy"

        def __init__(
            self, *, bits: int = 8, name: str = "bits", seed: int = 0, split_seed: int = 0
        ):
            self.bits = check_whole("bits", bits, 1)
            self.inputs, self.outputs = Inputs("token", 2, self.bits), Outputs(2)
            self.chance = {"accuracy": 0.5}
            super().__init__()

        def generate(self, split, count, generator):
            return {"tokens": torch.randint(2, (count, self.bits), generator=generator)}

        def encode(self, instances):
            targets = torch.full_like(instances["tokens"], IGNORE)
            targets[:, -1] = instances["tokens"].sum(-1) % 2
            return Batch(instances["tokens"], targets)

        def metrics(self, logits, targets):
            hits, scored = scored_hits(logits, targets)
            return {"accuracy": hits.sum(-1) / scored.sum(-1)}

        def sample(self, split, index):
            return self.instances(split, index, 1)["tokens"][0].tolist()

    file = tmp_path / "own.yaml"
    file.write_text(ENTRY, encoding="utf-8")
    yield load_registry(file, plugins=False)
    del CLASSES["ParityOfBits"], CLASSES.owners["ParityOfBits"]


def test_it_is_made_from_its_entry(registry):
    task = make_task("parity-of-bits", registry=registry, seed=3)
    assert task.options == {"bits": 5}
    assert (task.name, task.seed, task.split_seed) == ("parity-of-bits", 3, 0)
    batch = task.batch("test", 0, 7)
    assert batch.inputs.shape == (7, 5)
    assert torch.equal(batch.targets[:, -1], batch.inputs.sum(-1) % 2)
    assert "ParityOfBits(bits=5)" in task.describe()


def test_its_options_decide_the_streams(registry):
    """And the seed that of training alone."""
    first, same, other = (
        make_task("parity-of-bits", registry=registry, bits=9, seed=seed, split_seed=split)
        for seed, split in ((0, 0), (1, 0), (0, 1))
    )
    read = [
        [task.batch(split, 0, 4).inputs for split in ("train", "test")]
        for task in (first, same, other)
    ]
    assert not torch.equal(read[0][0], read[1][0])
    assert torch.equal(read[0][1], read[1][1])
    assert not torch.equal(read[0][1], read[2][1])


def test_an_option_that_came_later_leaves_the_instances_as_they_were(registry):
    before = make_task("parity-of-bits", registry=registry)

    class ParityOfBits(type(before)):
        later_options: ClassVar = {"flipped": False}

        def __init__(self, *, bits=8, flipped=False, name="bits", seed=0, split_seed=0):
            super().__init__(bits=bits)

    for split in before.splits:
        (old, same, other) = (
            task.batch(split, 0, 20).inputs
            for task in (before, ParityOfBits(bits=5), ParityOfBits(bits=5, flipped=True))
        )
        assert torch.equal(old, same)
        assert not torch.equal(old, other)


def test_its_options_are_checked_as_those_of_the_toolkits_tasks(registry):
    with pytest.raises(UnknownName, match=r"no option of ParityOfBits 'bit'.*did you mean 'bits'"):
        make_task("parity-of-bits", registry=registry, bit=3)
    with pytest.raises(ValueError, match="'bits' must be a whole number >= 1, got 0"):
        make_task("parity-of-bits", registry=registry, bits=0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'bit'"):
        CLASSES["ParityOfBits"](bit=3)
    assert CLASSES["ParityOfBits"]().options == {"bits": 8}


def test_what_a_constructor_hands_on_takes_the_place_of_what_it_was_called_with(registry):
    class Doubled(CLASSES["ParityOfBits"]):
        def __init__(
            self, *, half: int = 2, name: str = "doubled", seed: int = 0, split_seed: int = 0
        ):
            super().__init__(bits=2 * half)

    task = Doubled(seed=4)
    assert task.options == {"half": 2}
    assert task.bits == 4
    assert (task.name, task.seed) == ("doubled", 4)
