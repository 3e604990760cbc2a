"""Code within a line."""

from __future__ import annotations

from options import on_page_content


def test_an_option_is_not_broken_at_its_hyphens() -> None:
    assert on_page_content("<p><code>--final-budget 30m</code></p>") == (
        '<p><code><span class="whole">--final-budget</span> 30m</code></p>'
    )


def test_a_command_may_be_broken_and_a_name_may_not() -> None:
    command = "attenergy search --task stacked-recall-small --budget 1m"
    assert on_page_content(f"<td><code>{command}</code></td>").startswith(
        '<td><code class="command">attenergy search <span class="whole">--task</span> '
    )
    for name in ("stacked-recall-small", "x - y", "a" * 60):
        assert on_page_content(f"<code>{name}</code>") == f"<code>{name}</code>"


def test_blocks_stay_as_they_are() -> None:
    block = "<pre><span></span><code>attenergy search --steps 5\n</code></pre>"
    assert on_page_content(block) == block
