"""The result of an analysis as it was saved, read back from files that anybody may have written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from attenergy.analysis.drawing import inline
from attenergy.analysis.result import Table
from attenergy.analysis.safe_svg import safe_svg
from attenergy.registry import AnalysisError
from attenergy.registry.files import read_regular
from attenergy.registry.printable import printable

_MOST_JSON, _MOST_SVG = 64_000_000, 16_000_000
#: A name of a file in the folder, and of no other.
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.+-]{0,150}$")]


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class SavedTable(_Plain):
    """A table as it was saved."""

    title: str
    header: list[str]
    rows: list[list[str]]
    texts: int = Field(default=1, ge=0)


class SavedPicture(_Plain):
    """What is said of a picture, beside its files `NAME.png` and `NAME.svg`."""

    name: _Name
    title: str
    about: str
    wide: bool = False
    screen: str = Field(default="", pattern="^(|desk|phone)$")


class _Content(_Plain):
    analysis: _Name
    title: str
    sentence: str
    notes: list[str] = []
    numbers: dict[str, Any] = {}
    tables: list[SavedTable] = []
    pictures: list[SavedPicture] = []
    about: dict[str, Any] = {}


@dataclass(frozen=True, eq=False)
class SavedResult:
    """What an analysis said, from its files.

    Attributes:
        folder: where the files are.
        name: of the analysis.
        title: as a heading.
        sentence: the finding.
        notes: how to read it.
        numbers: what tables and pictures show.
        tables: as they were shown.
        pictures: what is said of each.
        about: what was analysed, with what settings, and how long that took.
    """

    folder: Path
    name: str
    title: str
    sentence: str
    notes: list[str]
    numbers: dict[str, Any]
    tables: list[Table]
    pictures: list[SavedPicture]
    about: dict[str, Any]

    @property
    def files(self) -> list[Path]:
        """The pictures' files."""
        names = [picture.name for picture in self.pictures]
        return [self.folder / f"{name}.{form}" for name in names for form in ("png", "svg")]

    def svg(self, picture: SavedPicture, prefix: str = "") -> str:
        """A picture as an element of a page, in whose colours it is drawn.

        Args:
            picture: one of these.
            prefix: makes the names inside unique in a page.

        Raises:
            ArgumentError: its file is no SVG.
            OSError: it is not there, too large, or leads out of the folder.
        """
        path = self.folder / f"{picture.name}.svg"
        text = read_regular(path, _MOST_SVG, within=self.folder).decode("utf-8", errors="replace")
        name = f"{prefix}{picture.name}"
        return inline(safe_svg(text, str(path)), name, f"{picture.title}. {picture.about}")


def read_result(folder: Path, name: str) -> SavedResult | None:
    """The result of an analysis in a folder; None if there is none.

    Args:
        folder: where `Result.save` wrote it.
        name: of the analysis.

    Raises:
        ArgumentError: its file is damaged, or of another analysis.
        OSError: it cannot be read, or is larger than 64 MB.
    """
    path = folder / f"{name}.json"
    if not path.exists():
        return None
    try:
        content = _Content.model_validate(json.loads(read_regular(path, _MOST_JSON, within=folder)))
    except (ValidationError, ValueError, RecursionError) as error:
        said = printable(str(error).replace("\n", " "))[:300]
        raise AnalysisError(f"{path}: no result of an analysis: {said}") from error
    if content.analysis != name:
        raise AnalysisError(f"{path}: is a result of {content.analysis}, not of {name}")
    return SavedResult(
        folder=folder,
        name=name,
        title=content.title,
        sentence=content.sentence,
        notes=content.notes,
        numbers=content.numbers,
        tables=[Table(t.title, t.header, t.rows, t.texts) for t in content.tables],
        pictures=content.pictures,
        about=content.about,
    )
