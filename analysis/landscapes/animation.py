"""A retrieval as a small animation."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from attenergy.analysis.drawing import colour, drawing
from attenergy.analysis.landscapes.charts import Circle, extent_of
from attenergy.analysis.landscapes.descent import settle
from attenergy.analysis.landscapes.surface import Surface
from attenergy.registry import AnalysisError
from attenergy.registry.files import write_bytes_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Frames of the way, frames at its end, milliseconds of each, dots per inch, colours.
_FRAMES, _END, _MILLISECONDS, _DPI, _COLOURS = 28, 6, 90, 72, 128
#: Gamma of the way: small, so that it is seen.
STEP_SIZE = 0.08
_STEPS = 400


def save_retrieval(
    surface: Surface, path: Path | str, *, start: Any = None, step_size: float = STEP_SIZE
) -> Path:
    """Write a GIF of one state that comes to rest in a landscape.

    Args:
        surface: the landscape.
        path: of the file, `.gif`.
        start: the state (D,) that moves; by default the drawn one with the longest way.
        step_size: gamma of its steps, smaller than a layer's so that the way is seen.

    Raises:
        ValueError: the file is no GIF, or the start does not fit.
        NoMatplotlib: without matplotlib.

    Example:
        >>> surface = landscape("lse", [[1.0, 0.0], [-1.0, 0.0]], beta=4.0)
        >>> save_retrieval(surface, "retrieval.gif").name
        'retrieval.gif'
    """
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise AnalysisError(f"an animation is a .gif, got {path.name}")
    way = _way(surface, start, step_size)
    frames = []
    with drawing(size=(4.4, 4.0)) as (figure, axes):
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        figure.set_dpi(_DPI)
        figure.set_facecolor("white")
        line, dot = _still(surface, axes)
        canvas: Any = FigureCanvasAgg(figure)
        canvas.draw()
        still = canvas.copy_from_bbox(figure.bbox)
        for number in [*range(len(way)), *[len(way) - 1] * _END]:
            line.set_data(*way[: number + 1].mT.numpy())
            dot.set_data(*way[number : number + 1].mT.numpy())
            canvas.restore_region(still)
            axes.draw_artist(line)
            axes.draw_artist(dot)
            frames.append(_reduced(canvas))
    out = io.BytesIO()
    frames[0].save(
        out, format="GIF", save_all=True, append_images=frames[1:], duration=_MILLISECONDS,
        loop=0, optimize=True,
    )  # fmt: skip
    write_bytes_atomically(path, out.getvalue())
    return path


def _way(surface: Surface, start: Any, step_size: float) -> Tensor:
    """Places (frames, 2) of the state that moves, evenly spaced along its way."""
    problem, chart = surface.problem, surface.chart
    if start is None:
        lengths = (surface.paths[1:] - surface.paths[:-1]).norm(dim=-1).sum(0)
        state = chart.states(surface.paths[0, int(lengths.argmax())][None])
    else:
        state = torch.as_tensor(start, dtype=torch.float64)
        if state.shape != (problem.dim,):
            raise AnalysisError(f"start must be ({problem.dim},), got {tuple(state.shape)}")
        state = problem.project(state[None])
    ends = settle(
        problem, state, extent=extent_of(chart), steps=_STEPS, step_size=step_size,
        tolerance=1e-4, trace=True,
    )  # fmt: skip
    assert ends.path is not None
    places = chart.coordinates(ends.path[:, 0])
    if isinstance(chart, Circle):
        with torch.no_grad():
            places = torch.cat([places, problem.value(ends.path[:, 0])[:, None]], -1)
    along = torch.cat([places.new_zeros(1), (places[1:] - places[:-1]).norm(dim=-1).cumsum(0)])
    wanted = torch.linspace(0.0, float(along[-1]), _FRAMES, dtype=along.dtype)
    return places[torch.searchsorted(along, wanted).clamp(max=len(places) - 1)]


def _still(surface: Surface, axes: Axes) -> tuple[Any, Any]:
    """Draw what does not move; return the line and the dot that do."""
    from attenergy.analysis.landscapes.pictures import draw_patterns, draw_surface

    if isinstance(surface.chart, Circle):
        axes.plot(
            surface.coordinates[:, 0].numpy(), surface.energies.numpy(), color=colour("chance")
        )
        axes.set_xlabel("angle of the state")
        axes.set_ylabel("energy")
    else:
        draw_surface(axes, surface, surface.chart)
        draw_patterns(axes, surface)
    (line,) = axes.plot([], [], "-", color=colour("series-2"), linewidth=1.4, animated=True)
    (dot,) = axes.plot(
        [],
        [],
        "o",
        color=colour("series-2"),
        markersize=9,
        markeredgecolor=colour("card"),
        animated=True,
    )
    return line, dot


def _reduced(canvas: Any) -> Any:
    """What stands on a canvas, in a few colours."""
    from PIL import Image

    image = Image.frombytes("RGBA", canvas.get_width_height(), canvas.buffer_rgba().tobytes())
    return image.convert("RGB").quantize(
        _COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
    )
