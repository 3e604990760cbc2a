"""A text value and how it was written, so that one of its characters can be found in the file."""

from __future__ import annotations

from dataclasses import dataclass

from attenergy.registry.specs import Place


@dataclass(frozen=True)
class Text:
    """A scalar as read (`value`) and as written (`source`), the latter beginning at `place`."""

    place: Place
    value: str
    source: str

    def at(self, offset: int) -> Place:
        """Where `value[offset]` stands in the file.

        YAML folds lines and strips indentation, so characters are counted without white space.
        """
        wanted = sum(not c.isspace() for c in self.value[:offset])
        line, column = self.place.line, self.place.column
        for character in self.source.rstrip():
            if not character.isspace():
                if wanted == 0:
                    break
                wanted -= 1
            line, column = (line + 1, 1) if character == "\n" else (line, column + 1)
        return Place(file=self.place.file, line=line, column=column)


def written(value: str, style: str | None, source: str, place: Place) -> Text:
    """The text of a scalar node: without an opening quote, or the header of a block."""
    skipped = 0
    if style in ("'", '"'):
        skipped = 1
    elif style in ("|", ">"):
        body = source.find("\n") + 1
        skipped = body + len(source[body:]) - len(source[body:].lstrip())
    before = source[:skipped]
    if "\n" in before:
        column = skipped - before.rfind("\n")
        place = Place(file=place.file, line=place.line + before.count("\n"), column=column)
    else:
        place = Place(file=place.file, line=place.line, column=place.column + skipped)
    return Text(place, value, source[skipped:])
