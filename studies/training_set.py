"""The training instances of some seeds, drawn once and kept on the device."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator

import torch
from torch import Tensor

from attenergy.tasks import Task


class Unstackable(ValueError):
    """These runs are no population."""


def _shared(*shape: int) -> Tensor:
    """Bytes that processes forked from this one write for it."""
    return torch.frombuffer(mmap.mmap(-1, math.prod(shape)), dtype=torch.uint8).view(shape)


class TrainingSet:
    """The training instances of some seeds in the memory of a device, as they are encoded.

    Args:
        task_of: the task of a seed.
        seeds: of the runs.
        count: instances of each.
    """

    def __init__(self, tasks: dict[int, Task], count: int) -> None:
        self.tasks, self.count = tasks, count
        task = next(iter(tasks.values()))
        rows = task.scored_positions or slice(None)
        batch = task.batch("train", 0, 2)
        if batch.mask is not None:
            raise Unstackable("instances of this task are masked")
        shape = (len(tasks), count)
        self.rows = rows
        self.inputs = _shared(*shape, *batch.inputs.shape[1:])
        self.targets = _shared(*shape, *batch.targets[:, rows].shape[1:])
        self._there: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def number(self, seed: int) -> int:
        """Which of the streams is that of a seed."""
        return list(self.tasks).index(seed)

    def pieces(self, size: int = 16 * 1024) -> Iterator[tuple[int, int]]:
        """What there is to draw: seeds and first instances."""
        for start in range(0, self.count, size):
            yield from ((seed, start) for seed in self.tasks)

    def draw(self, seed: int, start: int, size: int = 16 * 1024) -> None:
        """Draw some instances of a seed."""
        end = min(start + size, self.count)
        batch = self.tasks[seed].batch("train", start, end - start)
        number = self.number(seed)
        self.inputs[number, start:end] = batch.inputs.to(torch.uint8)
        self.targets[number, start:end] = batch.targets[:, self.rows].to(torch.uint8)

    def on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Inputs and targets on a device, for all populations there."""
        if device not in self._there:
            self._there[device] = (self.inputs.to(device), self.targets.to(device))
        return self._there[device]
