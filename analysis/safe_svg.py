"""Pictures that were saved, made fit for a page: nothing that is fetched, run, or laid over it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from attenergy.registry import AnalysisError

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_HREF = f"{{{_XLINK}}}href"
_ELEMENTS = frozenset(
    re.findall(
        r"\S+",
        "svg g defs path use text tspan rect circle ellipse line polyline polygon clipPath title "
        "image linearGradient radialGradient stop pattern",
    )
)
_ATTRIBUTES = frozenset(
    re.findall(
        r"\S+",
        "id d transform style x y dx dy width height viewBox cx cy r rx ry x1 x2 y1 y2 points "
        "offset clip-path clip-rule clipPathUnits gradientUnits gradientTransform patternUnits "
        "preserveAspectRatio fill fill-opacity fill-rule stroke stroke-width stroke-opacity "
        "stroke-dasharray stroke-dashoffset stroke-linecap stroke-linejoin stroke-miterlimit "
        "opacity stop-color stop-opacity text-anchor font-size font-style font-weight font-family",
    )
)
#: Of a `style`: drawing and text, nothing that moves an element to another place.
_PROPERTIES = frozenset(
    re.findall(
        r"\S+",
        "fill fill-opacity fill-rule stroke stroke-width stroke-opacity stroke-dasharray "
        "stroke-dashoffset stroke-linecap stroke-linejoin stroke-miterlimit opacity stop-color "
        "stop-opacity text-anchor font font-size font-style font-weight font-family clip-path "
        "image-rendering white-space vector-effect",
    )
)
_ELSEWHERE = re.compile(r"url\(\s*['\"]?(?!#)|@|\\|javascript:|expression", re.IGNORECASE)
_PNG = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=\s]*")


def safe_svg(text: str, place: str) -> str:
    """A picture with drawing in it and nothing else.

    Elements, attributes and properties that draw are kept, as are references within the picture and
    bitmaps in it; scripts, links, styles of the page and what lies elsewhere are left out.

    Args:
        text: an SVG file, as somebody else may have written it.
        place: its name, for errors.

    Raises:
        ArgumentError: it is no SVG, or defines entities.
    """
    if "<!ENTITY" in text:
        raise AnalysisError(f"{place}: defines entities; a picture needs none")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise AnalysisError(f"{place}: is no SVG: {error}") from error
    if root.tag != f"{{{_SVG}}}svg":
        raise AnalysisError(f"{place}: is no SVG, its root is {root.tag!r:.80}")
    _clean(root)
    # What the sheet of matplotlib says of every element.
    root.set("stroke-linejoin", "round")
    root.set("stroke-linecap", "butt")
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    return ElementTree.tostring(root, encoding="unicode")


def _clean(element: ElementTree.Element) -> None:
    for name in list(element.attrib):
        value = _attribute(element, name, element.attrib.pop(name))
        if value is not None:
            element.set(name, value)
    for child in list(element):
        prefix, _, name = str(child.tag).rpartition("}")
        if prefix != f"{{{_SVG}" or name not in _ELEMENTS:
            element.remove(child)
        else:
            _clean(child)


def _attribute(element: ElementTree.Element, name: str, value: str) -> str | None:
    """The value of an attribute; None if it is left out."""
    if name in ("href", _HREF):
        bitmap = element.tag == f"{{{_SVG}}}image" and _PNG.fullmatch(value)
        return value if bitmap or value.startswith("#") else None
    if name not in _ATTRIBUTES or _ELSEWHERE.search(value):
        return None
    if name != "style":
        return value
    parts = (part.strip() for part in value.split(";"))
    return "; ".join(part for part in parts if part.partition(":")[0].strip() in _PROPERTIES)
