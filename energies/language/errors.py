"""What is wrong with a formula, and where."""

from __future__ import annotations

from attenergy.registry import AttenergyError


class FormulaError(AttenergyError, ValueError):
    """A formula that cannot be understood, with the character at which that showed.

    Attributes:
        message: what is wrong, in one line.
        text: the formula, if it came from text.
        offset: position of the offending character in `text`, from 0.
        path: keys below the entry that lead to `text`, if it is not the formula itself; from the
            registry's `energies` on where the entry is known.
        topic: as in `AttenergyError`.

    Example:
        >>> try:
        ...     attenergy.make_energy("0.5*|xi|^2 - lsee(X @ xi)", dim=4)
        ... except FormulaError as error:
        ...     print("lse" in str(error))
        True
    """

    topic = "formula-syntax"

    def __init__(
        self,
        message: str,
        text: str | None = None,
        offset: int | None = None,
        path: tuple[str, ...] = (),
        topic: str = "",
    ) -> None:
        self.path = path
        self.message = message
        self.text = text
        self.offset = offset
        super().__init__(str(self), topic=topic)

    def __str__(self) -> str:
        if self.offset is None:
            return self.message
        where = f"{'.'.join(self.path) or 'formula'}, column {self.offset + 1}"
        return "\n".join(filter(None, (f"{where}: {self.message}", self.excerpt())))

    def in_entry(self, name: str) -> FormulaError:
        """The same error with the place of its entry of the registry; itself without a name."""
        if not name or self.path[:1] == ("energies",):
            return self
        path = ("energies", name, *(self.path or ("formula",)))
        return type(self)(self.message, self.text, self.offset, path, self.topic)

    def excerpt(self, width: int = 72) -> str:
        """The part of the formula around the error and, below it, a caret."""
        if self.text is None or self.offset is None:
            return ""
        flat = "".join(" " if c.isspace() else c for c in self.text)
        start = max(0, min(self.offset - width // 2, len(flat) - width))
        return f"{flat[start : start + width]}\n{' ' * (self.offset - start)}^"


class TooLarge(FormulaError):
    """A tree with more nodes or levels than any honest formula has."""
