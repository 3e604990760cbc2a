"""Small picture files, and what is said of each."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from attenergy.analysis.drawing import Picture, colour
from attenergy.registry.files import write_atomically, write_bytes_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Pixels, colours of the palette, and bytes of one picture.
WIDTH, COLOURS, MOST_BYTES = 480, 64, 40_000
_STRIP = 34  # pixels of the title
#: Keeps the few bright pixels of lines and marks, which the median cut drowns.
_METHOD = Image.Quantize.FASTOCTREE


@dataclass(frozen=True)
class Drawn:
    """A drawing and what is said of it.

    Args:
        image: what is drawn, at any size; None where nothing can be.
        caption: below the picture; why there is none, without an image.
        alt: for those who do not see it.
        command: what draws the same.
    """

    image: Image.Image | None
    caption: str
    alt: str = ""
    command: str = ""

    def about(self) -> dict[str, str]:
        """What is written beside the files."""
        if self.image is None:
            return {"why not": self.caption}
        return {"caption": self.caption, "alt": self.alt, "command": self.command}


def rendered(figure: Figure) -> Image.Image:
    """A figure on white, larger than it will be shown."""
    file = io.BytesIO()
    Picture("", "", "", figure).write(file, "png")
    return Image.open(file).convert("RGB")


def png(image: Image.Image, title: str) -> bytes:
    """The image made small below its title, with a palette of its own; fewer colours if large."""
    height = round(image.height * WIDTH / image.width)
    small = Image.new("RGB", (WIDTH, height + _STRIP), "white")
    small.paste(image.resize((WIDTH, height), Image.Resampling.LANCZOS), (0, _STRIP))
    font = ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), 21)
    ImageDraw.Draw(small).text((10, 5), title, font=font, fill=colour("ink"))
    colours = COLOURS
    while True:
        content = in_palette(small, colours, method=_METHOD)
        if len(content) <= MOST_BYTES or colours <= 8:
            return content
        colours //= 2


def in_palette(
    image: Image.Image,
    colours: int,
    *,
    method: Image.Quantize = Image.Quantize.MEDIANCUT,
    dither: Image.Dither = Image.Dither.NONE,
) -> bytes:
    """The image as a small PNG with a palette of its own, of so many colours at most."""
    out = io.BytesIO()
    image.convert("RGB").quantize(colours, method, dither=dither).save(out, "PNG", optimize=True)
    return out.getvalue()


class Album:
    """A folder of pictures and `captions.json`; what is drawn is on the disk at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "captions.json"
        self.about: dict[str, dict[str, str]] = (
            json.loads(self._file.read_text(encoding="utf-8")) if self._file.exists() else {}
        )

    def has(self, key: str) -> bool:
        """Whether a picture is there, or the reason why there is none."""
        about = self.about.get(key, {})
        return "why not" in about or (bool(about) and self._path(key).exists())

    def add(self, key: str, drawn: Drawn) -> int:
        """Write a picture and its caption; its size in bytes."""
        path, size = self._path(key), 0
        if drawn.image is not None:
            content = png(drawn.image, key.rpartition("/")[2])
            size = len(content)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes_atomically(path, content)
        else:
            path.unlink(missing_ok=True)
        self.about[key] = drawn.about()
        text = json.dumps(dict(sorted(self.about.items())), indent=1, ensure_ascii=False)
        write_atomically(self._file, text + "\n")
        return size

    def forget_others(self, keys: set[str]) -> None:
        """Remove pictures of entries that are gone."""
        for key in set(self.about) - keys:
            del self.about[key]
            self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.png"
