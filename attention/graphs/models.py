"""Deep models of energy layers: a graph network, and graph transformers of PyTorch Geometric."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from torch import nn
from torch_geometric.nn import GPSConv, MessagePassing
from torch_geometric.nn.models.basic_gnn import BasicGNN

from attenergy.attention.graphs.conv import EnergyConv
from attenergy.attention.integrations.replace import exchange
from attenergy.attention.modules.arguments import check_flag, check_module
from attenergy.attention.saving.format import LayerArguments
from attenergy.attention.saving.pretrained import Pretrained, describe
from attenergy.energies import Energy, EnergyLike
from attenergy.energies.settings.keywords import known_arguments
from attenergy.energies.settings.numbers import plain
from attenergy.registry import ArgumentError

Model = TypeVar("Model", bound=nn.Module)
#: In a description, no activation, no normalisation, no jumping knowledge.
NOTHING = "none"
#: Settings of a layer that differ along a network.
_WIDTHS = ("in_channels", "target_channels")


class EnergyGNN(Pretrained, BasicGNN):
    """x <- dropout(act(norm(EnergyConv(x, edges)))), layer by layer.

    Depth, normalisation, activation, dropout and jumping knowledge are those of
    `torch_geometric.nn.models.BasicGNN`; every keyword that it does not know goes to `EnergyConv`
    (`energy`, `heads`, `steps`, ...). Self-loops are added unless `add_self_loops=False`, so that a
    node keeps what it knows. A head is hidden_channels / heads wide in all layers, so
    `out_channels` may be any number.

    Raises:
        ValueError: as `EnergyConv`.

    Example:
        >>> model = EnergyGNN(16, 32, num_layers=2, out_channels=7, energy="rbm", heads=4)
        >>> edges = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> model(torch.randn(3, 16), edges).shape
        torch.Size([3, 7])
    """

    # PyTorch Geometric asks its models for these two, though the base class calls them final.
    supports_edge_weight = True  # type: ignore[misc]
    supports_edge_attr = True  # type: ignore[misc]

    def init_conv(
        self, in_channels: int | tuple[int, int], out_channels: int, **kwargs: Any
    ) -> MessagePassing:
        """One layer."""
        kwargs = {"add_self_loops": True} | kwargs
        if isinstance(kwargs.get("energy"), Energy):  # made already: every layer learns its own
            kwargs["energy"] = copy.deepcopy(kwargs["energy"])
        heads = kwargs.get("heads", 1)
        if "head_dim" not in kwargs and heads > 0 and self.hidden_channels % heads == 0:
            kwargs["head_dim"] = self.hidden_channels // heads
        with known_arguments(type(self), ("heads", "energy")):
            return EnergyConv(  # type: ignore[abstract]
                in_channels, out_channels, dropout=self.dropout.p, **kwargs
            )

    def description(self) -> LayerArguments:
        """What the network is saved as; see `Pretrained.description`.

        Raises:
            ValueError: its layers differ, or as there; activations and normalisations are saved by
                name.
        """
        described = [describe(conv) for conv in self.convs]
        layers = [
            layer
            for layer in described
            if isinstance(layer, LayerArguments) and layer.kind == "conv"
        ]
        if len(layers) < len(described):
            raise ArgumentError(
                f"{type(self).__name__} cannot be described: not all of its layers are EnergyConv",
                topic="saved-model",
            )
        if any(_but_widths(layer) != _but_widths(layers[0]) for layer in layers):
            raise ArgumentError(
                f"{type(self).__name__} cannot be described: its layers differ in more than width",
                topic="saved-model",
            )
        # What is there counts, and not how a constructor of a sub-class was called.
        network = {
            "num_layers": plain(self.num_layers), "act": _name(self.act),
            "act_first": check_flag("act_first", self.act_first),
            "norm": _name(self.norms[0]) if len(self.norms) > 1 or self.jk_mode else NOTHING,
            "jk": self.jk_mode or NOTHING,
        }  # fmt: skip
        if self.jk_mode or getattr(self, "_is_conv_to_out", False):
            network["out_channels"] = plain(self.out_channels)
        settings = {**layers[0].settings, **network}
        return layers[0].model_copy(
            update={"kind": "gnn", "embed_dim": plain(self.hidden_channels), "settings": settings}
        )


def _name(module: Any) -> str:
    """The name under which PyTorch Geometric makes an activation or a normalisation.

    Raises:
        ValueError: it is none of PyTorch's or its own modules.
    """
    if module is None or isinstance(module, nn.Identity):
        return NOTHING
    if not isinstance(module, nn.Module):
        raise ArgumentError(
            f"an activation that is no module has no name to be saved by: {module!r}",
            topic="saved-model",
        )
    return type(module).__name__


def _but_widths(layer: LayerArguments) -> LayerArguments:
    settings = {name: value for name, value in layer.settings.items() if name not in _WIDTHS}
    return layer.model_copy(update={"embed_dim": 1, "settings": settings})


def energize_gps(model: Model, energy: EnergyLike = "lse", **options: Any) -> Model:
    """Put energy attention in the place of the global attention of every `GPSConv`.

    The weights and all that the attention carries stay, as by `replace_attention`, so with
    log-sum-exp, one step and the default beta the model computes what it did before. `GPSConv`
    itself takes no attention of another kind by name.

    Args:
        model: a `GPSConv`, or a model that has some; changed in place. Other attention in it is
            left alone.
        energy: whatever names one; see `attenergy.make_energy`.
        **options: `steps`, `step_size`, `registry` and settings of the energy.

    Returns:
        The model itself.

    Raises:
        TypeError: the model is no module.
        ValueError: there is no `GPSConv` with `attn_type="multihead"` in it, or as
            `replace_attention`; the model is then as it was.

    Example:
        >>> from torch_geometric.nn import GPSConv
        >>> layer = energize_gps(GPSConv(16, None, heads=4), "rbm", steps=2)
        >>> layer(torch.randn(3, 16), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([3, 16])
    """
    check_module("model", model)
    places = {
        f"{name}.attn" if name else "attn": module.attn
        for name, module in model.named_modules()
        if isinstance(module, GPSConv) and isinstance(module.attn, nn.MultiheadAttention)
    }
    if not places:
        raise ArgumentError(
            f"{type(model).__name__} has no torch_geometric.nn.GPSConv(attn_type='multihead')",
            topic="drop-in",
        )
    with known_arguments(energize_gps):
        exchange(places, energy, options)
    return model
