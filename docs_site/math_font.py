"""Make docs/stylesheets/formulas.woff: the part of the font STIX Math that formulas need.

    python docs_site/math_font.py STIXMath-Regular.otf docs/stylesheets/formulas.woff

Without a font that has a table of mathematical constants a browser sets indices and roots badly,
and many systems have none. Debian's package fonts-stix (1.1.1) has the source. A part of it may be
given on under another name and the same license: docs/stylesheets/formulas-license.txt.
"""

from __future__ import annotations

import sys

from fontTools import subset
from fontTools.ttLib import TTFont

NAME = "Attenergy Formulas"
#: Latin, Greek, and of mathematics: letters (italic, bold, script, double-struck), signs, arrows.
CHARACTERS = (
    "20-7E,A0-FF,391-3F5,2016,2020-2026,2032-2034,2061-2064,20D7,2102,210B-2115,2118-211D,2124,"
    "212C,2130-2134,2190-21D5,2200-22EF,2308-230B,23DE,23DF,25A1,27E8,27E9,2A7D,2A7E,"
    "1D400-1D467,1D49C-1D503,1D538-1D56B,1D6A4-1D71B"
)


def write(source: str, target: str) -> None:
    """Write the part, renamed."""
    options = subset.Options(flavor="woff", layout_features=["*"], drop_tables=["FFTM"])
    font = subset.load_font(source, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=subset.parse_unicodes(CHARACTERS))
    subsetter.subset(font)
    _rename(font)
    subset.save_font(font, target, options)


def _rename(font: TTFont) -> None:
    plain = NAME.replace(" ", "")
    for record in font["name"].names:
        texts = {1: NAME, 3: f"{plain}:1", 4: NAME, 6: plain}
        if record.nameID in texts:
            font["name"].setName(
                texts[record.nameID],
                record.nameID,
                record.platformID,
                record.platEncID,
                record.langID,
            )
    top = font["CFF "].cff
    top.fontNames = [plain]
    top[plain].FullName, top[plain].FamilyName = NAME, NAME


if __name__ == "__main__":
    write(*sys.argv[1:])
