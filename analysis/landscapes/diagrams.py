"""The drawings that are no surface: the levels of spins, and minima against a parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from attenergy.analysis.drawing import Picture, colour, drawing, legend, panels
from attenergy.analysis.landscapes.minima import Minima
from attenergy.analysis.landscapes.pictures import MARKERS, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TALL = (5.2, 4.6)
_TONES = dict(zip(MARKERS, SERIES, strict=False))


def levels_picture(
    name: str, title: str, minima: Minima, energies: Tensor, overlaps: Tensor
) -> Picture:
    """Every state of the spins a dot, minima marked, against the overlap with a pattern.

    Args:
        name: of the picture.
        title: of the picture.
        minima: which states are, with the goal of every state.
        energies: (n,) of all states.
        overlaps: (n,) of each with the nearest pattern.
    """
    points: dict[str, list[tuple[float, float]]] = {}
    for rank, minimum in enumerate(minima.minima):
        own = (minima.goal == rank) & (energies == minimum.energy)
        overlap = float(overlaps[int(own.nonzero()[0])])
        points.setdefault(minimum.kind, []).append((overlap, minimum.energy))
    with drawing() as (figure, axes):
        axes.plot(
            overlaps.numpy(), energies.numpy(), linestyle="none", marker=".", markersize=3,
            color=colour("chance"), label="state",
        )  # fmt: skip
        _by_kind(axes, points, 8)
        axes.set_xlim(-1.08, 1.08)
        axes.set_xlabel("overlap with the nearest stored pattern")
        axes.set_ylabel("energy")
        legend(axes)
    about = (
        "The energy of every state of the spins; filled marks are states that no flip of one spin "
        "lowers. Overlap 1 is a stored pattern, -1 a reversed one."
    )
    return Picture(name, title, about, figure)


def sweep_picture(
    picture: tuple[str, str, str],
    parameter: str,
    values: Sequence[float],
    minima: Sequence[Minima],
    places: Sequence[Sequence[float]],
    critical: Sequence[tuple[float, int]],
) -> Picture:
    """Places of the minima above, their number below, critical values as lines through both.

    Args:
        picture: its name, its title, and the name of the energy.
        parameter: what is swept.
        values: of the parameter.
        minima: at each value.
        places: of each of them, at each value.
        critical: values at which their number changes, and what it is from there on.
    """
    name, title, energy = picture
    points: dict[str, list[tuple[float, float]]] = {}
    for value, some, where in zip(values, minima, places, strict=True):
        for minimum, place in zip(some.minima, where, strict=True):
            points.setdefault(minimum.kind, []).append((value, place))
    with panels(2, 1, _TALL) as (figure, ((above,), (below,))):
        from matplotlib import ticker

        spec = above.get_gridspec()
        assert spec is not None
        spec.set_height_ratios((3, 1))
        below.sharex(above)
        above.tick_params(labelbottom=False)
        for each in (above, below):
            for value, _ in critical:
                each.axvline(value, color=colour("chance"), linewidth=0.8, linestyle=(0, (2, 2)))
        _by_kind(above, points, 4.5)
        counts = [len(some) for some in minima]
        known = sorted([*zip(values, counts, strict=True), *critical])
        below.step(*zip(*known, strict=True), where="post", color=colour("ink"), linewidth=1.2)
        if values[0] > 0:
            below.set_xscale("log")
            below.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            below.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
            below.xaxis.set_minor_locator(ticker.NullLocator())
        below.set_xlabel(parameter)
        below.set_ylabel("minima")
        below.set_ylim(0, max(counts, default=1) * 1.15 + 0.2)
        below.yaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        above.set_ylabel("first principal component")
        legend(above)
    about = (
        f"Minima of {energy} against {parameter}: above, where they are along the patterns' first "
        "principal component; below, how many; dashed lines are the values at which their number "
        "changes."
    )
    return Picture(name, title, about, figure)


def _by_kind(axes: Axes, points: dict[str, list[tuple[float, float]]], size: float) -> None:
    for kind, some in points.items():
        axes.plot(
            [x for x, _ in some], [y for _, y in some], linestyle="none", marker=MARKERS[kind],
            markersize=size, markerfacecolor=colour(_TONES[kind]), markeredgewidth=0.5,
            markeredgecolor=colour("card"), label=kind,
        )  # fmt: skip
