"""A layer whose modes are checked, and the plain form that it must equal.

`B` batch, `H` heads, `L` states, `S` stored patterns, `E` model width.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from attenergy.attention import EnergyAttention, make_mixer
from attenergy.attention.gradients import chunked
from attenergy.attention.gradients.backends import Backend
from attenergy.registry import Registry
from attenergy.testing.cases import draw, float64

B, H, L, S, E = 2, 2, 5, 7, 8
#: (B, L) with which a layer is exported, and others that the exported program must serve.
_EXAMPLE, _OTHERS = (3, 7), ((2, 4), (5, 11))
#: Greatest length of layers that have parameters for every place.
_PLACES = 16

#: How a module is called: `call(module, *tensors)`.
Call = Callable[..., Tensor]


class Plain(nn.Module):
    """A copy of a layer in the form that all others must equal.

    For an energy that is autograd in every step (`eager`), for a mixer the weights written out,
    where it has any.

    Args:
        layer: the layer.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        twin: Any = copy.deepcopy(layer)
        self.layer = twin
        self.writes_weights = bool(getattr(layer, "has_weights", False))
        if hasattr(layer, "backend"):
            twin.backend = "eager"

    def forward(self, *args: Tensor, **given: Any) -> Tensor:
        """The layer's output."""
        if self.writes_weights:
            given["need_weights"] = True
        out: Any = self.layer(*args, **given)
        output: Tensor = out[0] if self.writes_weights else out
        return output


class Subject:
    """A layer in float64 and what its checks share.

    Args:
        make: makes the layer, and others like it with parameters of their own.
        open_length: whether it is made for any number of states.
        trains: whether its backend has derivatives on this device.
    """

    def __init__(self, make: Callable[[], nn.Module], *, open_length: bool, trains: bool) -> None:
        self.make, self.open_length, self.trains = make, open_length, trains
        self.layer = make()
        self.plain = Plain(self.layer)

    @cached_property
    def single(self) -> nn.Module:
        """The layer in float32, for evaluation."""
        return copy.deepcopy(self.layer).float().eval()

    @cached_property
    def program(self) -> torch.export.ExportedProgram:
        """The layer in float32, exported with open batch and, if it may, open length."""
        sizes = {0: torch.export.Dim("batch", min=2)}
        if self.open_length:
            places = _PLACES if getattr(self.layer, "needs_length", False) else None
            sizes[1] = torch.export.Dim("length", min=3, max=places)
        x = draw(50, *_EXAMPLE, E).float()
        with torch.set_grad_enabled(self.trains):
            return torch.export.export(self.single, (x,), dynamic_shapes=(sizes,))

    def answers(self) -> list[tuple[Tensor, Tensor]]:
        """Inputs in float32 of other sizes than the exported example, and the plain outputs."""
        outputs = []
        for batch, length in _OTHERS:
            x = draw(51, batch, length if self.open_length else _EXAMPLE[1], E).float()
            with torch.no_grad():
                outputs.append((x, self.plain(x.double()).float()))
        return outputs

    def compare(
        self,
        call: Call,
        *args: Tensor,
        run: nn.Module | None = None,
        trains: bool | None = None,
    ) -> Tensor:
        """Compare values and, where the backend has any, derivatives with the plain form's.

        Args:
            call: how a module is called.
            args: tensors by which to differentiate.
            run: the layer in the mode; the layer itself if None.
            trains: whether to compare derivatives; if None, where the backend has any.
        """
        mine = self.layer if run is None else run
        if not (self.trains if trains is None else trains):
            with torch.no_grad():
                got = call(mine, *args)
                torch.testing.assert_close(got, call(self.plain, *args))
            return got
        mine_derived = derived(call, mine, *args)
        torch.testing.assert_close(mine_derived, derived(call, self.plain, *args))
        return mine_derived[0]


def derived(call: Call, module: nn.Module, *args: Tensor, order: int = 1) -> list[Tensor]:
    """The output, and its derivatives of an order by the arguments and the parameters."""
    leaves = [t.detach().clone().requires_grad_() for t in args]
    wanted = [*leaves, *module.parameters()]
    results = [call(module, *leaves)]
    out = results[0].detach()
    for n in range(1, order + 1):
        total = torch.stack([(t * draw(60 + n, *t.shape)).sum() for t in results]).sum()
        results = list(
            torch.autograd.grad(total, wanted, create_graph=n < order, materialize_grads=True)
        )
    return [out, *results]


def subject(registry: Registry, name: str, backend: Backend | None) -> Subject:
    """The layer of an energy with a backend, or of a mixer (backend None), ready to be checked.

    Raises:
        ValueError: the energy does not have the backend.
    """
    seeds = iter(range(100))

    def make() -> nn.Module:
        with torch.random.fork_rng(devices=[]), float64():
            torch.manual_seed(next(seeds))
            if backend is None:
                sizes = {"embed_dim": E, "num_heads": H, "length": _PLACES}
                return make_mixer(name, registry=registry, **sizes)
            return EnergyAttention(E, H, name, steps=2, registry=registry, backend=backend)

    spec = registry.layer(name)
    return Subject(make, open_length="graph" not in spec.options, trains=backend != "flex")


@contextmanager
def small_chunks() -> Iterator[None]:
    """Make `chunked` split even the few states of the checks, two at a time."""
    before = chunked.LEAST_ROWS, chunked.CHUNK
    chunked.LEAST_ROWS, chunked.CHUNK = 2, 1
    try:
        yield
    finally:
        chunked.LEAST_ROWS, chunked.CHUNK = before
