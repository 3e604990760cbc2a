"""What an analysis returns: a finding, its numbers, tables and pictures, and how to save them."""

from __future__ import annotations

import io
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from attenergy.registry.files import write_atomically, write_bytes_atomically

if TYPE_CHECKING:
    from attenergy.analysis.drawing import Picture

#: What long work calls: what is being done, how much is done, of how much.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Table:
    """Rows of text under a header.

    Attributes:
        title: what the table shows.
        header: one name for each column.
        rows: one text for each column.
        texts: how many of the first columns are text; the others are numbers, set to the right.

    Example:
        >>> Table("Scores", ("name", "score"), [("lse", "0.5")]).markdown().splitlines()[-1]
        '| lse | 0.5 |'
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1

    def markdown(self) -> str:
        """The table in Markdown, under its title."""
        rule = ["---" if i < self.texts else "---:" for i in range(len(self.header))]
        lines = [self.header, rule, *self.rows]
        cells = ["| " + " | ".join(_cell(text) for text in line) + " |" for line in lines]
        return "\n".join([f"**{self.title}**", "", *cells])

    def text(self) -> str:
        """The table with its columns aligned, for a terminal."""
        lines = [list(self.header), *map(list, self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        aligned = (
            "  ".join(
                text.ljust(width) if i < self.texts else text.rjust(width)
                for i, (text, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )
        return "\n".join([self.title, *aligned])


class Result(ABC):
    """What an analysis returns: a frozen dataclass that derives from this.

    A subclass sets `name` (as on the command line and in the names of files) and `title`, and
    writes the four methods without a body here; `save` and `str` follow from them.

    Example:
        >>> result = weight_curves("lse", beta=1.0)
        >>> result.name
        'weights'
        >>> [path.name for path in result.save("curves")][:2]
        ['weights.json', 'weights.md']
    """

    name: ClassVar[str]
    title: ClassVar[str]

    @property
    @abstractmethod
    def sentence(self) -> str:
        """The finding, in one plain sentence, or two."""

    @abstractmethod
    def numbers(self) -> dict[str, Any]:
        """All that tables and pictures show, as JSON holds it."""

    @abstractmethod
    def tables(self) -> list[Table]:
        """The numbers that a reader looks for."""

    @abstractmethod
    def pictures(self) -> list[Picture]:
        """Drawings, made when this is called.

        Raises:
            NoMatplotlib: without matplotlib.
        """

    def notes(self) -> list[str]:
        """How to read it, and its limits."""
        return []

    def markdown(self) -> str:
        """Sentence, tables and notes as a section in Markdown."""
        parts = [f"## {self.title}", self.sentence, *(table.markdown() for table in self.tables())]
        parts += ["\n".join(f"* {note}" for note in self.notes())]
        return "\n\n".join(filter(None, parts)) + "\n"

    def save(
        self,
        folder: Path | str,
        *,
        pictures: bool = True,
        about: Mapping[str, Any] | None = None,
    ) -> list[Path]:
        """Write `NAME.json`, `NAME.md`, and every picture as PNG and SVG, each whole or not at all.

        `NAME.json` is written last and holds all that a page shows; `read_result` reads it.

        Args:
            folder: made if absent.
            pictures: whether to draw; it needs matplotlib.
            about: anything else worth keeping, as JSON holds it.

        Returns:
            The files.
        """
        folder = Path(folder)
        drawn = self.pictures() if pictures else []
        written = [folder / f"{self.name}.json", folder / f"{self.name}.md"]
        for picture in drawn:
            for form in ("png", "svg"):
                file = io.BytesIO()
                picture.write(file, form)
                written.append(folder / f"{picture.name}.{form}")
                write_bytes_atomically(written[-1], file.getvalue())
        data = {
            "analysis": self.name,
            "title": self.title,
            "sentence": self.sentence,
            "notes": self.notes(),
            "about": finite(dict(about or {})),
            "numbers": finite(self.numbers()),
            "tables": [asdict(table) for table in self.tables()],
            "pictures": [
                {key: getattr(picture, key) for key in ("name", "title", "about", "wide", "screen")}
                for picture in drawn
            ],
        }
        write_atomically(written[1], self.markdown())
        write_atomically(written[0], json.dumps(data, indent=1, allow_nan=False) + "\n")
        return written

    def __str__(self) -> str:
        parts = [self.sentence, *(table.text() for table in self.tables()), *self.notes()]
        return "\n\n".join(parts)


def finite(value: Any) -> Any:
    """The value with every number that JSON cannot hold as None."""
    if isinstance(value, dict):
        return {str(name): finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
