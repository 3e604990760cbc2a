"""Nothing is made on the default device while a layer, a memory or a task is at work."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.devices.workloads import (
    CPU,
    RECALLED,
    REGISTRY,
    SOLVED,
    TASKS,
    B,
    E,
    L,
    decoding,
    derived,
    drawn,
    judged,
    layer,
    models,
    multihead,
    recalled,
    solved,
    visibility,
)

Default = Callable[[], AbstractContextManager[None]]
F64 = torch.float64


def same(compute: Callable[[], list[Tensor]], on_default_device: Default) -> None:
    """The numbers are those that come without the watch."""
    want = compute()
    with on_default_device():
        got = compute()
    torch.testing.assert_close(got, want)


def test_what_forgets_the_device_is_seen(on_default_device: Default) -> None:
    x = torch.ones(3)
    with on_default_device():
        torch.testing.assert_close(x + torch.ones(3, device=x.device), 2 * x)
        with pytest.raises(RuntimeError, match="meta"):
            x + torch.ones(3)


@pytest.mark.parametrize("name", [*REGISTRY.energies, *REGISTRY.mixers])
def test_layers(name: str, on_default_device: Default) -> None:
    x = torch.randn(B, L, E, dtype=F64)
    backends: tuple[dict[str, Any], ...] = ({},)
    if name in REGISTRY.energies:
        backends = ({}, {"backend": "eager"})
    for options in backends:
        made = layer(name, **options)
        for given in visibility(made)[1:]:
            same(partial(derived, made, x, **given), on_default_device)


@pytest.mark.long
def test_models(on_default_device: Default) -> None:
    for _, module, inputs in models():
        same(partial(derived, module, inputs), on_default_device)
    for whole in (multihead, decoding, drawn):
        same(partial(whole, CPU, F64), on_default_device)


@pytest.mark.parametrize(("solver", "energy"), SOLVED)
def test_solvers(solver: str, energy: str, on_default_device: Default) -> None:
    same(partial(solved, solver, energy, CPU, F64), on_default_device)


@pytest.mark.parametrize(("energy", "mode"), RECALLED)
def test_memories(energy: str, mode: str, on_default_device: Default) -> None:
    same(partial(recalled, energy, mode, CPU, F64), on_default_device)


@pytest.mark.parametrize("name", TASKS)
def test_losses_and_metrics(name: str, on_default_device: Default) -> None:
    same(partial(judged, name, CPU, F64), on_default_device)
