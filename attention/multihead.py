"""`nn.MultiheadAttention` whose heads relax an energy: PyTorch's signature, masks and layouts."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from attenergy.attention.dropout import check_dropout
from attenergy.attention.heads import EnergyHeads, split_mask
from attenergy.attention.projections import visible
from attenergy.registry import EnergySpec, Registry

_WEIGHTS = ("q_proj_weight", "k_proj_weight", "v_proj_weight")


class EnergyMultiheadAttention(nn.MultiheadAttention):
    """out_i = sum_h Wout_h r[h,i] + bout, where r[h,i] is read after a relaxation of Wq_h q_i + bq.

    The patterns of head h are Wk_h k_j + bk, the values Wv_h v_j + bv. With log-sum-exp and one
    step (the defaults) it computes what `nn.MultiheadAttention` computes. The three input maps are
    kept in separate weights: PyTorch's transformer layers read the packed one to step around
    `forward` at inference, and would leave the energy out.

    Args:
        embed_dim: E, the width of queries and of the result.
        num_heads: H; must divide E.
        dropout: probability of dropping a weight in training, where weights are read.
        bias: whether the maps have biases.
        add_bias_kv: whether one learned pattern is added to those of every sequence.
        add_zero_attn: whether a pattern of zeros is added to those of every sequence.
        kdim: width of the keys; E if None.
        vdim: width of the values; E if None.
        batch_first: layout (B, L, E) instead of (L, B, E).
        device: of the parameters.
        dtype: of the parameters.
        energy: name in the registry, or an entry.
        steps: number of steps, from 1; the entry's default if None.
        step_size: gamma; the entry's default if None.
        registry: where the name is looked up; the built-in one and plug-ins if None.
        **settings: initial values of the energy's parameters, choices and options; `read` (`auto`,
            `weights` or `state`; values are not used where the state is read); and what
            `EnergyHeads` takes.

    Raises:
        ValueError: unknown name or setting, or numbers that do not fit.

    Source: Vaswani et al. 2017, arXiv:1706.03762; Ramsauer et al. 2020, arXiv:2008.02217.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - PyTorch's signature, and the energy's
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        energy: str | EnergySpec = "lse",
        steps: int | None = None,
        step_size: float | None = None,
        registry: Registry | None = None,
        **settings: Any,
    ) -> None:
        if num_heads < 1 or embed_dim < 1 or embed_dim % num_heads:
            raise ValueError(
                f"embed_dim ({embed_dim}) is not a multiple of num_heads ({num_heads}), from 1"
            )
        super().__init__(
            embed_dim, num_heads, check_dropout(dropout), bias, add_bias_kv, add_zero_attn,
            kdim, vdim, batch_first, device, dtype,
        )  # fmt: skip
        if self._qkv_same_embed_dim:
            packed = self.in_proj_weight.detach()
            self.register_parameter("in_proj_weight", None)
            for name, weight in zip(_WEIGHTS, packed.chunk(3), strict=True):
                setattr(self, name, nn.Parameter(weight.clone()))
            self._qkv_same_embed_dim = False
        self._options: dict[str, Any] = {
            "energy": energy, "dim": self.head_dim, "num_heads": num_heads, "steps": steps,
            "step_size": step_size, **settings,
        }  # fmt: skip
        heads = EnergyHeads(**self._options, registry=registry)
        self.heads = heads.to(device=device, dtype=dtype)
        self._options["energy"] = self.heads.energy.spec

    @classmethod
    def from_multihead(
        cls, attention: nn.MultiheadAttention, energy: str | EnergySpec = "lse", **options: Any
    ) -> Self:
        """Build a layer with copies of the weights of PyTorch's, its options, device and dtype.

        Args:
            attention: a trained or fresh `nn.MultiheadAttention`.
            energy: name in the registry, or an entry.
            **options: `steps`, `step_size`, `registry` and `settings` of the constructor.
        """
        like = attention.out_proj.weight
        new = cls(
            attention.embed_dim, attention.num_heads, attention.dropout,
            attention.in_proj_bias is not None, attention.bias_k is not None,
            attention.add_zero_attn, attention.kdim, attention.vdim, attention.batch_first,
            like.device, like.dtype, energy=energy, **options,
        )  # fmt: skip
        state = attention.state_dict()
        if "in_proj_weight" in state:
            state.update(zip(_WEIGHTS, state.pop("in_proj_weight").chunk(3), strict=True))
        maps = {name: w for name, w in state.items() if not name.startswith("heads.")}
        new.load_state_dict(maps, strict=False)
        return new.train(attention.training)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Relax the queries on the keys and read.

        Args:
            query: (L, B, E), (B, L, E) with `batch_first`, or (L, E).
            key: (S, B, kdim), laid out as the query is.
            value: (S, B, vdim), laid out as the query is.
            key_padding_mask: (B, S), or (S,); boolean with True = hidden, or numbers that are
                added to the scores (the field h; -inf hides).
            need_weights: whether to return weights; slower.
            attn_mask: (L, S) or (B * H, L, S), in the same two forms.
            average_attn_weights: whether the weights are the mean over heads.
            is_causal: whether `attn_mask` is causal. Without a mask, causality is applied.

        Returns:
            The result, laid out as the query is, and the weights: (B, L, S), (B, H, L, S) if not
            averaged, without B for (L, E); None if not needed, or if the energy has none. A query
            that sees no key reads 0 (in PyTorch NaN, if weights are needed).

        Raises:
            ValueError: a shape or type does not fit; numbers to be added to the scores of an
                energy that reads no field; causality for an energy whose states interact.
        """
        batched, within = query.ndim == 3, query is key
        query, key, value = self._batch_first(query, key, value)
        size = (query.shape[0], query.shape[1], key.shape[1])
        if is_causal and self.heads.energy.states_interact:
            raise ValueError(
                f"'{self.heads.energy.spec.title}' couples states to each other; it cannot be "
                "causal"
            )
        mask, field = self._masks(attn_mask, key_padding_mask, size, batched)
        if is_causal and attn_mask is None:
            mask = visible(mask, True, size[1], size[2], query.device)
        xi, X, values = self._projected(query, key, value)
        extra = X.shape[-2] - size[2]
        mask = None if mask is None else pad(mask, (0, extra), value=True)
        field = None if field is None else pad(field, (0, extra))
        dropout = self.dropout if self.training else 0.0
        read, weights = self.heads(
            xi, X, values, mask=mask, field=field, within=within, dropout=dropout,
            need_weights=need_weights,
        )  # fmt: skip
        out = self.out_proj(read.transpose(1, 2).flatten(2))
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if not batched:
            return out[0], None if weights is None else weights[0]
        return (out if self.batch_first else out.transpose(0, 1)), weights

    def _reset_parameters(self) -> None:
        """Draw the weights anew, as PyTorch does for the packed matrix; reset the energy too."""
        super()._reset_parameters()
        if "heads" not in self._modules:  # PyTorch's constructor is still at work
            return
        if self.kdim == self.vdim == self.embed_dim:
            for name in _WEIGHTS:
                nn.init.xavier_uniform_(getattr(self, name), gain=2**-0.5)
        self.heads.load_state_dict(EnergyHeads(**self._options).state_dict())

    def _batch_first(self, *inputs: Tensor) -> list[Tensor]:
        """Queries, keys and values as (B, length, width), checked."""
        widths = (self.embed_dim, self.kdim, self.vdim)
        ndim = inputs[0].ndim
        for name, given, width in zip(("query", "key", "value"), inputs, widths, strict=True):
            if given.ndim not in (2, 3) or given.ndim != ndim or given.shape[-1] != width:
                layout = "(B, length, width)" if self.batch_first else "(length, B, width)"
                raise ValueError(
                    f"{name} must be {layout} or (length, width), all three alike, with width "
                    f"{width}, got {tuple(given.shape)}"
                )
        if ndim == 2:
            inputs = tuple(x.unsqueeze(0) for x in inputs)
        elif not self.batch_first:
            inputs = tuple(x.transpose(0, 1) for x in inputs)
        query, key, value = inputs
        if key.shape[:2] != value.shape[:2] or query.shape[0] != key.shape[0]:
            raise ValueError(
                "query, key and value must have one batch size, and key and value one length, got "
                f"{[tuple(x.shape[:2]) for x in inputs]} (batch, length)"
            )
        return [query, key, value]

    def _masks(
        self,
        attn_mask: Tensor | None,
        padding: Tensor | None,
        size: tuple[int, int, int],
        batched: bool,
    ) -> tuple[Tensor | None, Tensor | None]:
        """One mask with True = visible and one field, each broadcastable to (B, H, L, S)."""
        batch, length, stored = size
        given = []
        if attn_mask is not None:
            _check_mask(
                "attn_mask", attn_mask, (length, stored), (batch * self.num_heads, length, stored)
            )
            of_each = (batch, self.num_heads, length, stored)
            given.append(attn_mask.view(of_each) if attn_mask.ndim == 3 else attn_mask)
        if padding is not None:
            _check_mask("key_padding_mask", padding, (batch, stored) if batched else (stored,))
            given.append(padding.view(batch, 1, 1, stored))
        mask = field = None
        for one in given:
            if one.dtype == torch.bool:
                seen = ~one
            else:
                seen, added = split_mask(one)
                field = added if field is None else field + added
            mask = seen if mask is None else mask & seen
        return mask, field

    def _projected(
        self, query: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """States (B, H, L, D), patterns and values (B, H, S, D), with the patterns added."""
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        q = linear(query, self.q_proj_weight, biases[0])
        k = linear(key, self.k_proj_weight, biases[1])
        v = linear(value, self.v_proj_weight, biases[2])
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat([k, self.bias_k.expand(k.shape[0], -1, -1)], 1)
            v = torch.cat([v, self.bias_v.expand(v.shape[0], -1, -1)], 1)
        if self.add_zero_attn:
            k, v = pad(k, (0, 0, 0, 1)), pad(v, (0, 0, 0, 1))
        q, k, v = (x.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2) for x in (q, k, v))
        return q, k, v


def replace_attention(
    model: nn.Module, energy: str | EnergySpec = "lse", **options: Any
) -> nn.Module:
    """Exchange every `nn.MultiheadAttention` inside a model for one with an energy, in place.

    Weights are copied by `EnergyMultiheadAttention.from_multihead`, so with log-sum-exp and one
    step the model computes what it did. Do it before the optimiser is built.

    Args:
        model: any module, `nn.Transformer` for one; a layer that has an energy already is kept.
        energy: name in the registry, or an entry.
        **options: `steps`, `step_size`, `registry` and `settings` of `EnergyMultiheadAttention`.

    Raises:
        ValueError: there is nothing to exchange, or as `EnergyMultiheadAttention`.
    """
    new: dict[nn.Module, EnergyMultiheadAttention] = {}  # one that is used twice stays one
    for name, part in list(model.named_modules(remove_duplicate=False)):
        plain = isinstance(part, nn.MultiheadAttention) and not isinstance(
            part, EnergyMultiheadAttention
        )
        if plain and name:
            if part not in new:
                new[part] = EnergyMultiheadAttention.from_multihead(part, energy, **options)
            model.set_submodule(name, new[part])
    if not new:
        raise ValueError(f"there is no nn.MultiheadAttention inside this {type(model).__name__}")
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoder):
            # It would pack padded sequences for PyTorch's fused layer, which is no longer there.
            module.use_nested_tensor = False
    return model


def _check_mask(name: str, mask: Tensor, *shapes: tuple[int, ...]) -> None:
    if tuple(mask.shape) not in shapes:
        allowed = " or ".join(map(str, shapes))
        raise ValueError(f"{name} must have shape {allowed}, got {tuple(mask.shape)}")
    if mask.dtype != torch.bool and not mask.is_floating_point():
        raise ValueError(f"{name} must be boolean or floating point, got {mask.dtype}")
