"""Formulas become MathML when the site is built: the browser needs no script and no font."""

from __future__ import annotations

import re
from html import escape, unescape
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page

# What pymdownx.arithmatex leaves in a page: \(...\) in a line, \[...\] on its own.
_FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>([.,;:)]*)', re.DOTALL
)
_ENVIRONMENT = re.compile(r"\\(begin|end)\{([^}]*)\}")
# The environments that are understood, and under which name the converter knows them.
_ENVIRONMENTS = {
    "aligned": "split", "gathered": "gather*", "align": "align*", "align*": "align*",
    "gather": "gather*", "gather*": "gather*", "split": "split", "cases": "cases",
    "array": "array", "matrix": "matrix", "pmatrix": "pmatrix", "bmatrix": "bmatrix",
}  # fmt: skip
# A name of several letters (log, softmax), with what stands before it and, past a subscript, after.
_FUNCTION = re.compile(
    r"((?:^|<mrow>|</mo>)(?:<msub>|<munder>)?)?<m([io])>([A-Za-z]{2,})</m\2>"
    r"(?=((?:<m[in]>[^<]*</m[in]></msu[bp]>)?(?:(?:<mrow>)?<mo[^>]*>&#x000(?:28|5B);|<m[io]>[A-Za-z]{2}))?)"
)
_STRANGE = re.compile(r"<m[a-z]+[^>]*>\s*(\\[A-Za-z]*|&(?!#)|\})")


def to_mathml(latex: str, *, block: bool = False) -> str:
    r"""`latex` as one `<math>` element, with its source as an annotation for those who copy it.

    Raises:
        ValueError: A command is not known (`\foo`), or a bracket or an argument is missing.
    """
    latex = latex.strip()
    known = _ENVIRONMENT.sub(_environment, latex)
    bare = known.replace(r"\\", "").replace(r"\{", "").replace(r"\}", "")
    if bare.count("{") != bare.count("}"):
        raise ValueError(f"{latex!r}: the braces do not match")
    try:
        drawn = convert(known, display="block" if block else "inline")
    except Exception as error:  # the converter has a class of its own for each mistake
        raise ValueError(f"{latex!r}: {type(error).__name__}") from error
    strange = _STRANGE.search(drawn)
    if strange:
        raise ValueError(f"{latex!r}: {strange[1]!r} is not known")
    # the bars of a norm are as high as its letters, unless `\left` makes them grow
    drawn = drawn.replace("<mo>&#x02016;</mo>", '<mo stretchy="false">&#x02016;</mo>')
    drawn = _FUNCTION.sub(_spaced, drawn)
    body = drawn[drawn.index(">") + 1 : drawn.rindex("</math>")]
    display = "block" if block else "inline"
    return (
        f'<math display="{display}"><semantics>{body}'
        f'<annotation encoding="application/x-tex">{escape(latex)}</annotation></semantics></math>'
    )


def _spaced(match: re.Match[str]) -> str:
    """A function as TeX sets it: a thin space on each side, but for operators and brackets."""
    before, _, name, following = match.groups()
    left = "0" if before is not None else "0.167em"
    right = "0" if following else "0.167em"
    return f'{before or ""}<mo lspace="{left}" rspace="{right}">{name}</mo>'


def _environment(match: re.Match[str]) -> str:
    if match[2] not in _ENVIRONMENTS:
        raise ValueError(f"{match[0]!r} is not known; {', '.join(_ENVIRONMENTS)} are")
    return f"\\{match[1]}{{{_ENVIRONMENTS[match[2]]}}}"


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """Replace the formulas of a page; one that cannot be read ends the build."""

    def formula(match: re.Match[str]) -> str:
        block = match[1] == "div"
        try:
            drawn = to_mathml(unescape(match[2]), block=block)
        except ValueError as error:
            raise PluginError(f"{page.file.src_uri}: formula {error}") from error
        if block:
            return f'<div class="formula">{drawn}</div>{match[3]}'
        # a line must not begin with the full stop after a formula
        return f'<span class="whole">{drawn}{match[3]}</span>' if match[3] else drawn

    return _FORMULA.sub(formula, html)
