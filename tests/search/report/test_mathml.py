"""LaTeX as MathML."""

from __future__ import annotations

from xml.dom import minidom

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attenergy.energies import describe
from attenergy.registry import load_registry
from attenergy.search.report.html.mathml import to_mathml

ENERGIES = load_registry().energies


def body(latex: str) -> str:
    text = to_mathml(latex)
    return text[text.index("<mrow>") + 6 : text.index("</mrow><annotation")]


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        (r"\frac{a}{2}", "<mfrac><mrow><mi>a</mi></mrow><mrow><mn>2</mn></mrow></mfrac>"),
        (
            r"\tfrac12",
            '<mrow displaystyle="false"><mfrac><mn>1</mn><mn>2</mn></mfrac></mrow>',
        ),
        (r"x^{2}_n", "<msubsup><mi>x</mi><mi>n</mi><mrow><mn>2</mn></mrow></msubsup>"),
        (r"\sum_n x", "<munder><mo>\u2211</mo><mi>n</mi></munder><mi>x</mi>"),
        (r"-\beta", "<mo>\u2212</mo><mi>\u03b2</mi>"),
        (r"\mathcal{L}", "<mi>\u2112</mi>"),
        (r"\mathcal{A}", "<mi>\U0001d49c</mi>"),
        (r"\sqrt{3}", "<msqrt><mrow><mn>3</mn></mrow></msqrt>"),
        ("1.4426950408889634", "<mn>1.4427</mn>"),
        (
            r"\left( a \right)",
            '<mrow><mo stretchy="true">(</mo><mi>a</mi><mo stretchy="true">)</mo></mrow>',
        ),
        (r"\unknown", r"<mtext>\unknown</mtext>"),
    ],
)
def test_each_construction(latex: str, expected: str) -> None:
    assert body(latex) == expected


@pytest.mark.parametrize("name", ENERGIES)
def test_every_registered_formula_is_understood_and_well_formed(name: str) -> None:
    latex = str(describe(ENERGIES[name])["latex"])
    text = to_mathml(latex)
    assert "<mtext>" not in text
    document = minidom.parseString(text)
    assert document.getElementsByTagName("annotation")[0].firstChild.data == latex


@pytest.mark.long
@given(st.text(alphabet="\\{}_^()ab1.<>&\"' frac", max_size=40))
def test_any_text_ends_and_is_escaped(text: str) -> None:
    minidom.parseString(to_mathml(text))
