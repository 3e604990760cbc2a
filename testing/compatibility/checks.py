"""One check for each mode: it returns if the mode works, and else raises what the layer raised."""

from __future__ import annotations

import copy
import gc
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from attenergy.testing.cases import draw
from attenergy.testing.compatibility.layer_under_test import B, E, H, L, Plain, S, Subject, derived


class Partly(Exception):
    """A mode works, but not in full; the text says what is left out."""


def _inputs() -> Tensor:
    return 0.5 * draw(40, B, L, E)


def _plainly(module: nn.Module, *args: Tensor) -> Tensor:
    out: Tensor = module(*args)
    return out


def _padded(module: nn.Module, x: Tensor) -> Tensor:
    mask = torch.ones(B, 1, 1, L, dtype=torch.bool)
    mask[0, ..., -1] = False
    out: Tensor = module(x, mask=mask)
    return out


def _causal(module: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = module(x, is_causal=True)
    return out


def _with_field(module: nn.Module, x: Tensor, field: Tensor) -> Tensor:
    out: Tensor = module(x, field=field)
    return out


def train(s: Subject) -> None:
    """Forward and backward, with a padding mask."""
    s.compare(_padded, _inputs(), trains=True)


def second_derivative(s: Subject) -> None:
    """Derivatives of derivatives, by inputs and parameters."""
    got = derived(_plainly, s.layer, _inputs(), order=2)
    torch.testing.assert_close(got, derived(_plainly, s.plain, _inputs(), order=2))


def no_grad(s: Subject) -> None:
    """Under `torch.no_grad()`."""
    with torch.no_grad():
        torch.testing.assert_close(s.layer(_inputs()), s.plain(_inputs()))


def inference_mode(s: Subject) -> None:
    """Under `torch.inference_mode()`."""
    with torch.inference_mode():
        got = s.layer(_inputs())
    torch.testing.assert_close(got.clone(), s.plain(_inputs()).detach())


def compiled(s: Subject) -> None:
    """`torch.compile(fullgraph=True)` after a plain call, forward and backward, by `aot_eager`."""
    torch.compiler.reset()
    gc.collect()  # or traces of layers that are gone leave while the compiler counts them
    no_grad(s)  # `traced` makes its graph now
    run: Any = torch.compile(s.layer, fullgraph=True, backend="aot_eager")
    s.compare(_plainly, _inputs(), run=run)


def exported(s: Subject) -> None:
    """`torch.export` with open batch and length, run at other sizes."""
    program = s.program.module()
    for x, want in s.answers():
        with torch.no_grad():
            torch.testing.assert_close(program(x), want, rtol=1e-3, atol=1e-4)
    _check_open(s)


def onnx(s: Subject) -> None:
    """`torch.onnx.export(dynamo=True)` with open batch and length, run by onnxruntime."""
    import onnxruntime

    runtime: Any = onnxruntime
    written = torch.onnx.export(s.program, dynamo=True, verbose=False)
    assert written is not None
    session = runtime.InferenceSession(written.model_proto.SerializeToString())
    for x, want in s.answers():
        (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(got), want, rtol=1e-3, atol=1e-4)
    _check_open(s)


def _check_open(s: Subject) -> None:
    if not s.open_length:
        raise Partly("the energy is built for one number of states: open batch, fixed length")


def stacked(s: Subject) -> None:
    """`vmap` over the parameters of several layers (`functional_call`, `stack_module_state`)."""
    layers = [s.layer, s.make(), s.make()]
    parameters, buffers = torch.func.stack_module_state(layers)
    shell = copy.deepcopy(s.layer).to("meta")

    x = _inputs()

    def run(own: Any, rest: Any) -> Tensor:
        out: Tensor = torch.func.functional_call(shell, (own, rest), (x,))
        return out

    with torch.set_grad_enabled(s.trains):
        got = torch.func.vmap(run)(parameters, buffers)
    twins = [Plain(layer) for layer in layers]
    out = torch.stack([twin(x) for twin in twins])
    torch.testing.assert_close(got, out)
    if s.trains:
        mine = _pulled(got, list(parameters.values()))
        theirs = [
            _pulled(part, list(twin.parameters())) for part, twin in zip(out, twins, strict=True)
        ]
        torch.testing.assert_close(mine, [torch.stack(each) for each in zip(*theirs, strict=True)])


def _pulled(out: Tensor, wanted: list[Tensor]) -> list[Tensor]:
    gradients = torch.autograd.grad(
        out.square().sum(), wanted, retain_graph=True, materialize_grads=True
    )
    return list(gradients)


def checkpointed(s: Subject) -> None:
    """`torch.utils.checkpoint` without re-entry, forward and backward."""

    def call(module: nn.Module, x: Tensor) -> Tensor:
        if module is s.plain:
            return _plainly(module, x)
        out: Tensor = checkpoint(module, x, use_reentrant=False)
        return out

    s.compare(call, _inputs(), trains=True)


def autocast(s: Subject) -> None:
    """bfloat16 by `torch.autocast`: near the exact values, with finite derivatives."""
    layer, x = copy.deepcopy(s.layer).float(), _inputs().float()
    with torch.set_grad_enabled(s.trains), torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(x)
    want = s.plain(_inputs()).detach()
    torch.testing.assert_close(out.detach().double(), want, rtol=0.1, atol=0.15)
    if s.trains:
        out.float().square().sum().backward()
        if not all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters()):
            raise ArithmeticError("a derivative is not finite")


def deepcopied(s: Subject) -> None:
    """`copy.deepcopy`."""
    _same(s, copy.deepcopy(s.layer))


def state_dict(s: Subject) -> None:
    """`state_dict` into another layer like it."""
    other = s.make()
    other.load_state_dict(s.layer.state_dict())
    _same(s, other)


def pickled(s: Subject) -> None:
    """`pickle`."""
    _same(s, pickle.loads(pickle.dumps(s.layer)))  # noqa: S301


def saved(s: Subject) -> None:
    """`save_pretrained` and `from_pretrained`."""
    layer: Any = s.layer
    with tempfile.TemporaryDirectory() as folder:
        layer.save_pretrained(Path(folder) / "layer")
        _same(s, type(layer).from_pretrained(Path(folder) / "layer"))


def _same(s: Subject, twin: nn.Module) -> None:
    """The copy computes the same, and goes its own way when its parameters change."""
    with torch.no_grad():
        want = s.plain(_inputs())
        torch.testing.assert_close(twin(_inputs()), want)
        for parameter in twin.parameters():
            parameter.add_(0.5)
        if torch.equal(twin(_inputs()), want):
            raise ArithmeticError("the parameters of the copy are not read")
        torch.testing.assert_close(s.layer(_inputs()), want)


def causal(s: Subject) -> None:
    """`is_causal`: no state reads a later one."""
    x = _inputs()
    out = s.compare(_causal, x)
    later = torch.cat([x[:, :-1], x[:, -1:] + 1], 1)
    with torch.no_grad():
        moved = s.layer(later, is_causal=True) - out
    torch.testing.assert_close(moved[:, :-1], torch.zeros_like(moved[:, :-1]))
    if not moved[:, -1].any():
        raise ArithmeticError("no state reads itself")


def field(s: Subject) -> None:
    """A field that learns, as relative positions give one for each head."""
    s.compare(_with_field, _inputs(), draw(41, 1, H, L, L))


def cross(s: Subject) -> None:
    """Cross attention, with another number of patterns than of states."""
    s.compare(_plainly, _inputs(), 0.5 * draw(42, B, S, E))


#: Every mode by its short name, which heads a column of the table.
MODES: dict[str, Callable[[Subject], None]] = {
    "train": train,
    "second": second_derivative,
    "no_grad": no_grad,
    "inference": inference_mode,
    "compile": compiled,
    "export": exported,
    "onnx": onnx,
    "vmap": stacked,
    "checkpoint": checkpointed,
    "autocast": autocast,
    "deepcopy": deepcopied,
    "state_dict": state_dict,
    "pickle": pickled,
    "pretrained": saved,
    "causal": causal,
    "field": field,
    "cross": cross,
}
