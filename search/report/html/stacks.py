"""A small drawing of every stack: a box for each block, split among its groups of heads."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from attenergy.analysis.drawing import looks
from attenergy.registry import StackSpec
from attenergy.registry.printable import printable
from attenergy.registry.stacks import Part, blocks_of, entries_of, layers_of, stack_text
from attenergy.search.report.html.study_view import View
from attenergy.search.runs.config import RunConfig

_WIDTH, _HEIGHT, _GAP = 104, 40, 22  # of a box, and between two, in pixels
_MOST_BLOCKS, _LETTERS = 24, 14


def drawings(view: View) -> dict[str, str]:
    """The SVG of every variant that is a stack, by its name; blocks go from left to right.

    The tone of a layer is that of its name, as in all pictures.
    """
    configs = {record.config.variant: record.config for record in view.study.records}
    stacks = {name: c for name, c in configs.items() if isinstance(c.layer, StackSpec)}
    entries = [entry for name, c in stacks.items() for entry in entries_of(name, c.layer)]
    tones = {name: look.tone for name, look in looks(entries).items()}
    return {name: _drawing(config, tones) for name, config in stacks.items()}


def _drawing(config: RunConfig, tones: dict[str, str]) -> str:
    stack = config.layer
    assert isinstance(stack, StackSpec)
    layers = layers_of(stack)
    blocks = [layers[index] for index in blocks_of(stack, config.model.layers)][:_MOST_BLOCKS]
    width = len(blocks) * (_WIDTH + _GAP) - _GAP
    line = escape(printable(stack_text(stack, config.model.layers), lines=False))
    inner = "".join(
        part for index, groups in enumerate(blocks) for part in _block(index, groups, tones)
    )
    return (
        f'<svg class="stack" role="img" viewBox="-1 -1 {width + 2} {_HEIGHT + 2}" '
        f'width="{width + 2}" height="{_HEIGHT + 2}"><title>{line}</title>{inner}</svg>'
    )


def _block(index: int, groups: tuple[Part, ...], tones: dict[str, str]) -> Iterator[str]:
    """The box of one block, and the arrow that leads to it."""
    x, total, first = index * (_WIDTH + _GAP), sum(group.heads for group in groups), 0
    middle = _HEIGHT / 2
    if index:
        yield (
            f'<path d="M{x - _GAP + 4} {middle:g}h{_GAP - 10}m-5 -4l5 4l-5 4" fill="none" '
            'stroke="var(--soft)"/>'
        )
    for group in groups:
        top, bottom = (_HEIGHT * n / total for n in (first, first + group.heads))
        first += group.heads
        name = escape(printable(group.variant, lines=False))
        shown = name if len(group.variant) <= _LETTERS else f"{name[: _LETTERS - 1]}\u2026"
        size = min(12.0, 0.85 * (bottom - top))
        yield (
            f'<rect x="{x}" y="{top:g}" width="{_WIDTH}" height="{bottom - top:g}" '
            f'fill="var(--{tones[group.variant]})" fill-opacity="0.22" '
            f'stroke="var(--{tones[group.variant]})"/>'
            f'<text x="{x + _WIDTH / 2:g}" y="{(top + bottom) / 2 + size / 3:.1f}" '
            f'font-size="{size:.1f}" text-anchor="middle" fill="var(--ink)">{shown}</text>'
        )
