"""Where the heads of a layer write: the rows of the output map that belong to each, and values.

`H` heads, `e` width of what a head reads, `E` model width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attenergy.attention.integrations.huggingface.interface import head_sizes
from attenergy.attention.layers.base import EnergyLayer
from attenergy.attention.layers.head_groups import groups_of
from attenergy.attention.mixers import Mixer
from attenergy.attention.modules.projections import Projections
from attenergy.registry import AnalysisError, UnknownName

#: Names of the output map in the attention modules of others, and next to them.
_INSIDE = ("out_proj", "o_proj", "out_lin", "c_proj", "o", "dense", "wo", "proj", "to_out")
_BESIDE = ("output.dense", "output")


@dataclass(frozen=True, eq=False)
class OutputMap:
    """The map from what the heads of one module read to the model's width.

    Attributes:
        weight: the parameter itself.
        heads: H, the heads that stand in it one after the other.
        reads_rows: whether its rows are the inputs (`Conv1D` of transformers); else its columns.
    """

    weight: nn.Parameter
    heads: int
    reads_rows: bool = False

    def part(self, head: int) -> Tensor:
        """The view of the weight that one head writes through, (E, e) or (e, E)."""
        axis = 0 if self.reads_rows else 1
        width = self.weight.shape[axis] // self.heads
        return self.weight.narrow(axis, head * width, width)


def output_maps(model: nn.Module, layer: str) -> list[OutputMap]:
    """The output maps of a layer's heads, one for each group of heads.

    Args:
        model: any model.
        layer: name of an attention layer in it.

    Raises:
        ValueError: there is no such layer, or no output map whose parts belong to single heads.
    """
    part = _module(model, layer)
    return [_output_map(model, layer, group) for group in groups_of(part)]


def value_maps(layer: nn.Module) -> tuple[Tensor, Tensor | None] | None:
    """W and b of v = W x + b of every head, (H, e, E) and (H, e); None if they are not known.

    Of layers of the toolkit that read values by weights, and of `nn.MultiheadAttention`.
    """
    if isinstance(layer, nn.MultiheadAttention):
        if layer.vdim != layer.embed_dim or layer.bias_v is not None or layer.add_zero_attn:
            return None
        packed = layer.in_proj_weight
        weight = layer.v_proj_weight if packed is None else packed.chunk(3)[2]
        bias = None if layer.in_proj_bias is None else layer.in_proj_bias.chunk(3)[2]
        read, heads = getattr(getattr(layer, "heads", None), "read", "weights"), layer.num_heads
        return _split(weight, bias, heads, heads) if read == "weights" else None
    maps = getattr(layer, "projections", None)
    if not isinstance(maps, Projections) or not hasattr(maps, "value"):
        return None
    if not isinstance(layer, (EnergyLayer, Mixer)):
        return None
    return _split(maps.value.weight, maps.value.bias, maps.num_kv_heads, maps.num_heads)


def head_writes(layer: nn.Module) -> Tensor | None:
    """W_out_h W_value_h of every head, (H, E, E), by which x becomes what it writes; or None."""
    values = value_maps(layer)
    if values is None:
        return None
    out = _output_map(layer, "", layer)
    return torch.stack([out.part(h).detach() @ w for h, w in enumerate(values[0].detach())])


def written_bias(layer: nn.Module, weights: Tensor) -> Tensor:
    """What the biases add to the output of a layer, (B, L, E) for its weights (B, H, L, S)."""
    values = value_maps(layer)
    assert values is not None  # asked after `head_writes`
    out = _output_map(layer, "", layer)
    total = weights.new_zeros(*weights.shape[:1], weights.shape[2], out.weight.shape[0])
    if values[1] is not None:
        seen = weights.sum(-1)  # (B, H, L): 1 unless a state sees nothing, or weights are signed
        for head, bias in enumerate(values[1].detach()):
            total = total + seen[:, head, :, None] * (out.part(head).detach() @ bias)
    last = _own_map(layer)
    bias = getattr(last, "bias", None)
    return total if bias is None else total + bias.detach()


def norms(maps: Sequence[OutputMap]) -> list[float]:
    """Of every head the Frobenius norm of its part of the output map."""
    return [float(one.part(h).detach().double().norm()) for one in maps for h in range(one.heads)]


def _split(
    weight: Tensor, bias: Tensor | None, groups: int, heads: int
) -> tuple[Tensor, Tensor | None]:
    w = weight.view(groups, -1, weight.shape[-1]).repeat_interleave(heads // groups, 0)
    if bias is None:
        return w, None
    return w, bias.view(groups, -1).repeat_interleave(heads // groups, 0)


def _module(model: nn.Module, layer: str) -> nn.Module:
    """The module of a layer, by the name that its calls have."""
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if layer == type(model).__name__:
        return model  # a layer alone is called by its class
    if layer not in modules or not layer:
        raise UnknownName("attention layer", layer, [name for name in modules if name])
    return modules[layer]


def _output_map(model: nn.Module, name: str, part: nn.Module) -> OutputMap:
    out, heads = _own_map(part), getattr(part, "num_heads", None)
    if out is not None:
        return _checked(name, out, int(heads or 0))
    parent = model.get_submodule(name.rpartition(".")[0])
    near = [_below(part, each) for each in _INSIDE] + [_below(parent, each) for each in _BESIDE]
    heads = head_sizes(name, part)[1]
    for candidate in near:
        if candidate is not None and _inputs(candidate) % heads == 0:
            return _checked(name, candidate, heads)
    raise AnalysisError(
        f"'{name}' ({type(part).__name__}) has no output map that is known to read its heads one "
        f"after the other (looked for {', '.join((*_INSIDE, *_BESIDE))}), so no head of it can be "
        "removed"
    )


def _own_map(part: nn.Module) -> nn.Module | None:
    """The output map of a layer of the toolkit or of PyTorch."""
    maps = getattr(part, "projections", None)
    owner = maps if isinstance(maps, Projections) else part
    if owner is part and not isinstance(part, nn.MultiheadAttention):
        return None
    out: nn.Module = owner.get_submodule("out" if owner is maps else "out_proj")
    return out


def _below(part: nn.Module, path: str) -> nn.Module | None:
    """A map below a module, if it is there and is one."""
    for name in path.split("."):
        child = getattr(part, name, None)
        if not isinstance(child, nn.Module):
            return None
        part = child
    return part if isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D" else None


def _inputs(out: nn.Module) -> int:
    weight = out.weight
    assert isinstance(weight, Tensor)  # a linear map has one
    return int(weight.shape[1 if isinstance(out, nn.Linear) else 0])


def _checked(name: str, out: nn.Module, heads: int) -> OutputMap:
    weight = out._parameters.get("weight")
    if not isinstance(weight, nn.Parameter) or not weight.is_floating_point():
        raise AnalysisError(
            f"the output map of '{name}' has no weight of its own that could be set to zero (it is "
            "parametrised, pruned or quantised); merge it into a plain map first"
        )
    return OutputMap(weight, heads, not isinstance(out, nn.Linear))
