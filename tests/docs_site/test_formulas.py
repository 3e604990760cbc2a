"""Formulas of a page as MathML."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from formulas import on_page_content, to_mathml
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ALIGNED = r"\begin{aligned} E &= \tfrac12 |\xi|^2 \\ &< b \end{aligned}"


class Page:
    file = File("concepts/from.md", "docs", "site", use_directory_urls=False)


@pytest.mark.parametrize(
    "latex",
    [
        r"E = \frac12\lVert\xi\rVert^2 - \frac1\beta \log\sum_{\mu=1}^N e^{\beta x_\mu^\top \xi}",
        r"\operatorname{softmax}(\beta X \xi) \in \mathbb{R}^N, \quad a < b",
        r"\{x : x \ge 0\}",
        ALIGNED,
    ],
)
@pytest.mark.parametrize("block", [True, False])
def test_what_pages_write_is_drawn(latex: str, block: bool) -> None:
    tree = ET.fromstring(to_mathml(latex, block=block))
    assert tree.get("display") == ("block" if block else "inline")
    *drawn, source = next(iter(tree))
    assert source.text == latex
    assert "\\" not in "".join("".join(part.itertext()) for part in drawn)


def test_aligned_lines_are_a_table() -> None:
    assert to_mathml(ALIGNED).count("<mtr>") == 2


@pytest.mark.parametrize(
    "latex",
    [r"\foo{x}", r"{a", r"a}", r"\left( a", r"x^", r"a & b", r"\begin{unknown}a\end{unknown}"],
)
def test_what_cannot_be_read_is_an_error(latex: str) -> None:
    with pytest.raises(ValueError, match=r"not known|do not match|Error"):
        to_mathml(latex)


def test_an_error_names_the_page() -> None:
    html = r'<p><span class="arithmatex">\(\foo\)</span></p>'
    with pytest.raises(PluginError, match=r"concepts/from\.md: formula .*foo"):
        on_page_content(html, page=Page())


def test_formulas_in_a_page_are_replaced_and_nothing_else() -> None:
    html = r'<p>a <span class="arithmatex">\(x &lt; y\)</span> \(z\)</p>'
    page = on_page_content(html, page=Page())
    assert page.startswith('<p>a <math display="inline">')
    assert page.endswith(r"</math> \(z\)</p>")
    assert "arithmatex" not in page


@pytest.mark.parametrize(
    ("latex", "spaces"),
    [
        (r"p \log p", [("0.167em", "0.167em")]),
        (r"-\log\cosh z", [("0", "0"), ("0.167em", "0.167em")]),
        (r"X\operatorname{softmax}(z)", [("0.167em", "0")]),
        (r"\max_n z_n", [("0", "0.167em")]),
        (r"\operatorname{lse}_\beta(z)", [("0", "0")]),
        (r"\log\left(z\right)", [("0", "0")]),
    ],
)
def test_functions_stand_apart_from_what_is_beside_them(
    latex: str, spaces: list[tuple[str, str]]
) -> None:
    tree = ET.fromstring(to_mathml(latex))
    names = [part for part in tree.iter("mo") if (part.text or "").isalpha()]
    assert [(part.get("lspace"), part.get("rspace")) for part in names] == spaces


def test_no_line_begins_with_the_full_stop_after_a_formula() -> None:
    html = r'<p><span class="arithmatex">\(x\)</span>, <span class="arithmatex">\(y\)</span> a</p>'
    page = on_page_content(html, page=Page())
    assert page.startswith('<p><span class="whole"><math')
    assert "</math>,</span> <math" in page
