"""`nn.MultiheadAttention` whose heads relax an energy: PyTorch's signature, masks and layouts."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from attenergy.attention.integrations.exchange import (
    MAPS,
    Part,
    as_held,
    change_class,
    check_exchange,
    copied,
)
from attenergy.attention.integrations.heads import EnergyHeads, fitting_heads
from attenergy.attention.integrations.torch_layouts import (
    joined_masks,
    of_one_sequence,
    packed,
    to_batch_first,
    unpacked,
)
from attenergy.attention.layers.description import arguments_around
from attenergy.attention.modules.arguments import check_flag, check_size, weight_of
from attenergy.attention.modules.pair_dropout import check_dropout
from attenergy.attention.modules.projections import visible
from attenergy.attention.saving.format import LayerArguments
from attenergy.attention.saving.pretrained import Pretrained
from attenergy.energies import EnergyLike
from attenergy.energies.settings.keywords import known_arguments
from attenergy.registry import ArgumentError, ArgumentTypeError, RegistryLike


class EnergyMultiheadAttention(Pretrained, nn.MultiheadAttention):
    """out_i = sum_h Wout_h r[h,i] + bout, where r[h,i] is read after a relaxation of Wq_h q_i + bq.

    The patterns of head h are Wk_h k_j + bk, the values Wv_h v_j + bv. With log-sum-exp and one
    step (the defaults) it computes what `nn.MultiheadAttention` computes. It has the parameters of
    that layer, by the same names, and those of the energy, so checkpoints of that layer load; what
    an energy does not read gets gradients of zero. `q_proj_weight`, `k_proj_weight` and
    `v_proj_weight` show the parts of the packed `in_proj_weight` where there is one; checkpoints
    that hold the three load too.

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
        energy: whatever names one; see `attenergy.make_energy`.
        steps: number of steps, from 1; the entry's default if None.
        step_size: gamma; the entry's default if None.
        registry: where the name is looked up: a registry, or a file added to the built-in one and
            plug-ins, which are taken if None.
        cross_attention: whether keys are of another sequence than queries; False. If not, query i
            and key i are one position wherever there are as many of one width, whichever tensors
            hold them. Energies that couple states ask: a position that a mask hides from all is
            then no state either, as in `EnergyAttention`, and inputs that differ are refused.
        **settings: initial values of the energy's parameters, choices and options; `read` (`auto`,
            `weights` or `state`; values are not used where the state is read); and what
            `EnergyHeads` takes.

    Raises:
        ValueError: unknown name or setting, or numbers that do not fit.

    Source: Vaswani et al. 2017, arXiv:1706.03762; Ramsauer et al. 2020, arXiv:2008.02217.

    Example:
        >>> attention = attenergy.EnergyMultiheadAttention(16, 4, batch_first=True, energy="lse")
        >>> x = torch.randn(2, 5, 16)
        >>> out, weights = attention(x, x, x)
        >>> out.shape, weights.shape
        (torch.Size([2, 5, 16]), torch.Size([2, 5, 5]))
    """

    #: Of checkpoints: from 2 on the parameters are named as PyTorch's.
    _version = 2
    #: Whether keys are of another sequence than queries.
    cross_attention: bool = False
    q_proj_weight, k_proj_weight, v_proj_weight = map(Part, MAPS)

    def __init__(  # noqa: PLR0913, PLR0917 - PyTorch's signature, and the energy's
        self,
        /,
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
        energy: EnergyLike = "lse",
        steps: int | None = None,
        step_size: float | None = None,
        registry: RegistryLike | None = None,
        cross_attention: bool = False,
        **settings: Any,
    ) -> None:
        check_size("embed_dim", embed_dim)
        if check_size("num_heads", num_heads) and embed_dim % num_heads:
            raise ArgumentError(
                f"embed_dim ({embed_dim}) is not a multiple of num_heads ({num_heads})",
                topic="head-width",
            )
        for name, width in (("kdim", kdim), ("vdim", vdim)):
            check_size(name, 1 if width is None else width)
        for name, flag in (
            ("bias", bias), ("add_bias_kv", add_bias_kv), ("add_zero_attn", add_zero_attn),
            ("batch_first", batch_first),
        ):  # fmt: skip
            check_flag(name, flag)
        super().__init__(
            embed_dim, num_heads, check_dropout(dropout), bias, add_bias_kv, add_zero_attn,
            kdim, vdim, batch_first, device, dtype,
        )  # fmt: skip
        given = {
            "steps": steps, "step_size": step_size, "registry": registry,
            "cross_attention": cross_attention, **settings,
        }  # fmt: skip
        with known_arguments(type(self)):
            self.read_by(*fitting_heads(self, energy, given))

    @classmethod
    def from_multihead(
        cls, attention: nn.MultiheadAttention, energy: EnergyLike = "lse", **options: Any
    ) -> Self:
        """Build a layer like PyTorch's, with copies of its weights and all else that it carries.

        That is: options, device, dtype, mode, frozen parameters, hooks, buffers, parametrisations
        and pruning masks. A layer that has an energy gives its weights in the same way.

        Args:
            attention: a trained or fresh `nn.MultiheadAttention`.
            energy: whatever names one; see `attenergy.make_energy`.
            **options: `steps`, `step_size`, `registry`, `cross_attention` and `settings` of the
                constructor.

        Raises:
            TypeError: it is no `nn.MultiheadAttention`.
            ValueError: the attention is of a class that computes something else, or as the
                constructor.
        """
        if not isinstance(attention, nn.MultiheadAttention):
            raise ArgumentTypeError(
                f"attention must be an nn.MultiheadAttention, got {type(attention).__name__}",
                topic="drop-in",
            )
        plain = not isinstance(attention, EnergyMultiheadAttention)
        if plain:
            check_exchange("attention", attention)
        with known_arguments(cls.from_multihead):
            heads = fitting_heads(attention, energy, options)
        new = copied(attention)
        if plain:
            change_class(new, cls)
        new.read_by(*heads)
        layer: Self = new
        return layer

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
            query: (L, B, E), (B, L, E) with `batch_first`, or (L, E). Nested (B, *, E) with
                `batch_first`, for self-attention without masks; the result is nested then.
            key: (S, B, kdim), laid out as the query is.
            value: (S, B, vdim), laid out as the query is.
            key_padding_mask: (B, S), or (S,); boolean with True = hidden, or numbers that are
                added to the scores (the field h; -9000 or less hides).
            need_weights: whether to return weights; slower.
            attn_mask: (L, S) or (B * H, L, S), in the same two forms.
            average_attn_weights: whether the weights are the mean over heads.
            is_causal: whether `attn_mask` is causal. Without a mask, causality is applied; None
                stands for False.

        Returns:
            The result, laid out as the query is, and the weights: (B, L, S), (B, H, L, S) if not
            averaged, without B for (L, E); None if not needed, or if the energy has none. A query
            that sees no key reads 0 (in PyTorch NaN, if weights are needed).

        Raises:
            TypeError: an input is no tensor.
            ValueError: a shape or type does not fit; numbers to be added to the scores of an
                energy that reads no field; causality for an energy whose states interact; a key
                that differs from the query where they have to be one sequence.
        """
        if any(getattr(x, "is_nested", False) for x in (query, key, value)):
            masks = (attn_mask, key_padding_mask)
            x, hidden = unpacked((query, key, value), masks, self.batch_first)
            out, weights = self.forward(
                x, x, x, hidden, need_weights, None, average_attn_weights, is_causal
            )
            return packed(out, hidden, query), weights
        is_causal = check_flag("is_causal", False if is_causal is None else is_causal)
        batched = getattr(query, "ndim", 3) == 3
        widths = (self.embed_dim, self.kdim, self.vdim)
        query, key, value = to_batch_first(
            (query, key, value), widths, self.batch_first, weight_of(self.out_proj)
        )
        energy = self.heads.energy
        if is_causal and energy.states_interact:
            raise ArgumentError(
                f"'{energy.spec.title}' couples states to each other; it cannot be causal",
                topic="couples-states",
            )
        sizes = (query.shape[0], self.num_heads, query.shape[1], key.shape[1])
        mask, field = joined_masks(attn_mask, key_padding_mask, sizes, batched)
        if is_causal and attn_mask is None:
            mask = visible(mask, True, *sizes[2:], query.device)
        within = not self.cross_attention and of_one_sequence(energy, query, key, mask)
        xi, X, values = self._projected(query, key, value)
        extra = X.shape[-2] - sizes[3]
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

    def read_by(self, heads: EnergyHeads, options: dict[str, Any], cross_attention: bool) -> None:
        """Read by these heads from now on."""
        # PyTorch's transformer layers read the packed weight to step around `forward` at
        # inference, and would leave the energy out; without this flag they do not.
        self._qkv_same_embed_dim = False
        self.heads, self._options, self.cross_attention = heads, options, cross_attention

    def description(self) -> LayerArguments:
        """What the layer is saved as; see `Pretrained.description`."""
        return arguments_around(
            self.heads, "multihead", embed_dim=self.embed_dim, num_heads=self.num_heads,
            dropout=check_dropout(self.dropout), bias=self.in_proj_bias is not None,
            add_bias_kv=self.bias_k is not None, add_zero_attn=self.add_zero_attn,
            kdim=self.kdim, vdim=self.vdim, batch_first=self.batch_first,
            cross_attention=check_flag("cross_attention", self.cross_attention) or None,
        )  # fmt: skip

    def state_bytes(self, length: int) -> int:
        """Bytes of what is stored of `length` positions to read the next one."""
        parts = int(self.heads.energy.reads_patterns) + int(self.heads.read == "weights")
        width: int = self.embed_dim * self.out_proj.weight.element_size()
        return length * max(1, parts) * width

    def _reset_parameters(self) -> None:
        """Draw the weights anew, as PyTorch does; reset the energy too."""
        self._qkv_same_embed_dim = self.in_proj_weight is not None
        super()._reset_parameters()
        self._qkv_same_embed_dim = False
        if "heads" in self._modules:  # else PyTorch's constructor is still at work
            self.heads.load_state_dict(EnergyHeads(**self._options).state_dict())

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *args: Any
    ) -> None:
        """Take the input maps packed or as three, and no energy from before there was one."""
        as_held(self, state_dict, prefix)
        before = (local_metadata.get("version") or 0) < self._version
        inside = f"{prefix}heads."
        if before and not any(name.startswith(inside) for name in state_dict):
            state_dict |= {inside + name: value for name, value in self.heads.state_dict().items()}
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def _projected(
        self, query: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """States (B, H, L, D), patterns and values (B, H, S, D), with the patterns added."""
        q, k, v = self._mapped(query, key, value)
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat([k, self.bias_k.expand(k.shape[0], -1, -1)], 1)
            v = torch.cat([v, self.bias_v.expand(v.shape[0], -1, -1)], 1)
        if self.add_zero_attn:
            k, v = pad(k, (0, 0, 0, 1)), pad(v, (0, 0, 0, 1))
        heads = (self.num_heads, self.head_dim)
        q, k, v = (x.view(*x.shape[:2], *heads).transpose(1, 2) for x in (q, k, v))
        return q, k, v

    def _mapped(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        """The three inputs through their maps, (B, length, E); one product for self-attention."""
        weight: Any = self.in_proj_weight  # None where the three are kept apart
        bias: Tensor | None = self.in_proj_bias
        if weight is not None and query is key and key is value:
            return linear(query, weight, bias).chunk(3, -1)
        if weight is None:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        else:
            weights = weight.chunk(3)
        biases = (None,) * 3 if bias is None else bias.chunk(3)
        inputs = (query, key, value)
        return tuple(linear(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True))
