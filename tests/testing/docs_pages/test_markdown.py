"""Plain text, docstrings and references as Markdown."""

from __future__ import annotations

import pytest

from attenergy.testing.docs_pages.markdown import display, linked, paragraphs, plain, prose


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a*b and c*d", r"a\*b and c\*d"),
        ("sum_n x_n", "sum_n x_n"),
        ("_x_ and `_x_ * y`", r"\_x\_ and `_x_ * y`"),
        ("B <= A", "B &lt;= A"),
        ("- one\n  two", r"\- one two"),
    ],
)
def test_plain_text_shows_as_it_was_written(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_references_lead_to_their_papers() -> None:
    text = "Hopfield 1982, doi:10.1073/pnas.79.8.2554; Ramsauer et al., arXiv:2008.02217 (2)"
    assert linked(text) == (
        "Hopfield 1982, [doi:10.1073/pnas.79.8.2554](https://doi.org/10.1073/pnas.79.8.2554); "
        "Ramsauer et al., [arXiv:2008.02217](https://arxiv.org/abs/2008.02217) (2)"
    )
    old = "doi:10.1016/0378-8733(83)90021-7"
    assert linked(old) == f"[{old}](https://doi.org/10.1016/0378-8733(83)90021-7)"


class Documented:
    """E = x*y.

    With:

        a = b

    more.

    Args:
        x: hidden.

    Shapes: hidden too.

    The end.
    """


def test_a_docstring_keeps_its_formulas_and_loses_its_arguments() -> None:
    blocks = paragraphs(Documented)
    assert blocks == ["E = x*y.", "With:", "    a = b", "more.", "The end."]
    assert prose(blocks[1:4]) == "With:\n\n```text\na = b\n```\n\nmore.\n"


def test_formulas_have_no_escapes_that_markdown_would_drop() -> None:
    assert display(r"a\, b\;c") == "$$\na\\thinspace b\\thinspace c\n$$\n"
