"""Weights of mixers: which places each place reads."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor, nn

from attenergy.analysis.drawing import colour, panels
from attenergy.attention.mixers import Mixer, make_mixer
from attenergy.registry import Registry
from attenergy.testing.docs_pages.pictures.files import Drawn, rendered

_SYMBOLS, _PLACES, _HEADS, _WIDTH = 4, 16, 4, 32


def draw_mixer(registry: Registry, name: str) -> Drawn:
    """The weights of two heads on a row of four symbols that come again and again.

    Projections change nothing, so that like symbols have large scores and what is seen is the
    mixer's own doing. Without weights it is the size of the influence.
    """
    torch.manual_seed(0)
    made = make_mixer(name, embed_dim=_WIDTH, num_heads=_HEADS, length=_PLACES, registry=registry)
    assert isinstance(made, Mixer)
    layer = made.eval()
    for module in layer.projections.modules():
        if isinstance(module, nn.Linear):
            nn.init.eye_(module.weight)
            nn.init.zeros_(module.bias)
    kinds = 1.6 * torch.randn(_SYMBOLS, _WIDTH)
    order = torch.arange(_PLACES) % _SYMBOLS
    x = (kinds[order] + 0.3 * torch.randn(_PLACES, _WIDTH))[None]
    if layer.has_weights:
        with torch.no_grad():
            weights = layer(x, need_weights=True)[1][0]
        shown = {"head 1": weights[0], f"head {_HEADS}": weights[-1]}
        what = f"Weights of heads 1 and {_HEADS}"
    else:
        shown = {"all heads": _influence(layer, x)}
        what = "The size of the influence of each place on each, as there are no weights"
    caption = (
        f"{what}, from each place (down) to each (across) in a row of {_PLACES} places with "
        f"{_SYMBOLS} symbols in turn; violet is above 0, orange below."
    )
    return Drawn(
        _picture(shown), caption, f"Weights of {name} over {_PLACES} places",
        f"python -m attenergy.testing.docs_pages.pictures docs {name}",
    )  # fmt: skip


def _influence(layer: Mixer, x: Tensor) -> Tensor:
    """|d out_i / d x_j| for each pair of places."""
    rows = torch.func.jacrev(lambda states: layer(states)[0])(x)[:, :, 0]  # (L, E, S, E)
    size: Tensor = torch.linalg.matrix_norm(rows.permute(0, 2, 1, 3))
    return size.detach()


def _picture(shown: dict[str, Tensor]) -> Image.Image:
    with panels(1, len(shown), (5.2, 2.9)) as (figure, grid):
        for axes, (title, weights) in zip(grid[0], shown.items(), strict=True):
            most = float(weights.abs().max()) or 1.0
            image = axes.imshow(weights.numpy(), cmap="PuOr", vmin=-most, vmax=most)
            axes.grid(visible=False)
            axes.set(title=title, xlabel="read", ylabel="reads", xticks=[], yticks=[])
            bar = figure.colorbar(image, ax=axes, shrink=0.75)
            bar.outline.set_visible(False)
            bar.ax.tick_params(labelsize=8, colors=colour("soft"))
            low = 0.0 if float(weights.min()) >= 0 else -most
            bar.ax.set_ylim(low, most)
    return rendered(figure)
