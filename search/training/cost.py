"""What a run costs, under the names of `RunRecord.cost`.

`parameters`: trainable numbers. `forward_flops`: of one instance, matrix products only.
`energy_loss_flops`: what a term of the training loss on energies adds to it, where there is one.
`training_flops`: three times both for every instance trained on. The backward pass does two
products for each that has a gradient on both sides, so three is exact for most layers; where some
have none (fixed features, constant couplings, inner samples) it counts too much, by up to 1.6.
`state_bytes`: what the layers keep of a sequence of the task's length to go on with it.
`ms_per_step`, `train_seconds`: of training alone; `seconds`: of the whole run, evaluations
included. `memory_bytes`: the most memory that the run added to its process, or used on its GPU.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

from attenergy.attention.models.flops import count_flops
from attenergy.attention.modules.modes import evaluating
from attenergy.search.training.energy_loss import EnergyLoss
from attenergy.search.training.predict import predict
from attenergy.tasks import Batch

BACKWARD = 3  # forward and backward pass cost so many times the forward pass


def count_parameters(model: nn.Module) -> int:
    """Count the trainable numbers of the model."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def forward_flops(model: nn.Module, batch: Batch, scored: slice | None = None) -> float:
    """Count the floating-point operations of a forward pass, per instance of `batch`.

    What counts is said in `attenergy.attention.models.flops.count_flops`.

    Args:
        model: of a run.
        batch: inputs (B, ...) and what may be seen.
        scored: positions outside of which nothing is scored; see `predict`.
    """
    with evaluating(model):
        return count_flops(lambda: predict(model, batch, scored)) / len(batch.inputs)


def energy_loss_flops(
    model: nn.Module, energy_loss: EnergyLoss | None, batch: Batch, scored: slice | None = None
) -> float:
    """What a term of the loss on energies adds to `forward_flops`; 0 without one."""
    if energy_loss is None:
        return 0.0
    plain = forward_flops(model, batch, scored)
    with energy_loss.recording(batch.mask, scored):
        return forward_flops(model, batch, scored) - plain


def state_bytes(model: nn.Module, length: int) -> float:
    """Bytes that all layers keep of one sequence of `length` to take its next step.

    A layer says so itself, by a method of this name; `nn.MultiheadAttention` keeps keys and values.
    Of other parts of a user's model nothing is known.
    """
    total = 0
    for module in model.modules():
        if callable(own := getattr(module, "state_bytes", None)):
            total += own(length)
        elif isinstance(module, nn.MultiheadAttention):
            total += 2 * length * module.embed_dim * module.out_proj.weight.element_size()
    return float(total)


class PeakMemory:
    """Measures the most memory that the process has used since this was made.

    On Linux; elsewhere the CPU's is not known. What earlier runs have freed is given back to the
    system first, so that it is not taken for the run's own. The highest use counts pages of files
    too, and the system drops such pages whenever it likes: where so many went meanwhile that they
    hide the run's own, what is in use of the process's own at the end counts.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            return
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the mark of the highest use falls back
        self._before, self._own = _resident("VmRSS"), _resident(*_OWN)

    def bytes(self) -> float | None:
        """Bytes above what was in use at the beginning; None if unknown."""
        if self._device.type == "cuda":
            return float(torch.cuda.max_memory_allocated(self._device))
        peak, own = _resident("VmHWM"), _resident(*_OWN)
        if peak is None or self._before is None:
            return None
        grown = 0.0 if own is None or self._own is None else own - self._own
        return max(0.0, peak - self._before, grown)


#: Memory that is no file's, in use and moved out to the swap.
_OWN = ("RssAnon", "VmSwap")


def _resident(*names: str) -> float | None:
    """Bytes under these names together, as the system counts them; None if it counts none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    counted = dict(line.split(":", 1) for line in lines if ":" in line)
    kilobytes = [float(counted[name].split()[0]) for name in names if name in counted]
    return 1024.0 * sum(kilobytes) if kilobytes else None
