"""The analyses of a model, or of two, and the files in which a reader finds them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from attenergy.analysis import Subject
from attenergy.registry.files import write_atomically
from attenergy.search.analyses.series import Choice, Outcome, analyse
from attenergy.search.analyses.sources import Source
from attenergy.search.analyses.subjects import Feeding, feed
from attenergy.search.display.analyses import AnalysisLines
from attenergy.search.report.analyses import Analysed, as_markdown
from attenergy.search.report.html.build import NoTemplates, analyses_page

PAGE = "analyses.html"


@dataclass(eq=False)
class Member:
    """A model of a session, with what came of its analyses so far."""

    subject: Subject
    folder: Path
    notes: list[str]
    about: dict[str, object]
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def analysed(self) -> Analysed:
        """What a page shows of it."""
        results = [o.result for o in self.outcomes if o.result is not None]
        missing = [(o.kind.name, o.reason) for o in self.outcomes if o.result is None]
        return Analysed(self.subject.name, self.notes, results, missing)


class Session:
    """Analyses of models side by side, each saved in its own folder, and a page of them all.

    Args:
        sources: the models.
        feeding: what they are fed.
        folder: where everything goes; None for the models' own places.

    Attributes:
        members: the models with what came of them.
        page: where the page goes; its Markdown lies beside it.
    """

    def __init__(
        self, sources: Sequence[Source], feeding: Feeding, folder: Path | None = None
    ) -> None:
        self.members: list[Member] = []
        several = len(sources) > 1
        for source in sources:
            subject, said = feed(source, feeding)
            place = source.place if folder is None else folder
            if several and folder is not None:
                place = folder / source.place.name
            notes = [*source.notes, *said]
            self.members.append(Member(subject, place, notes, dict(source.about)))
        first = self.members[0].folder
        self.page = (folder or first) / PAGE
        if several and folder is None:
            names = "-against-".join(member.folder.name for member in self.members)
            self.page = first.parent / f"{names}.html"

    @property
    def title(self) -> str:
        """What the page is called."""
        return " and ".join(dict.fromkeys(member.subject.name for member in self.members))

    @property
    def analysed(self) -> list[Analysed]:
        """What a page shows."""
        return [member.analysed for member in self.members]

    def run(
        self, choices: Sequence[Choice], display: AnalysisLines, *, force: bool = False
    ) -> None:
        """Do the analyses of every model; what is finished stays, whatever ends this.

        Args:
            choices: which analyses.
            display: shows what happens.
            force: do them again, even if they are there.
        """
        for member in self.members:
            for note in member.notes:
                display.message(f"{member.subject.name}: {note}")
            outcomes = analyse(
                member.subject,
                choices,
                member.folder,
                display=display,
                force=force,
                about=member.about,
            )
            for outcome in outcomes:
                member.outcomes.append(outcome)

    @property
    def bugs(self) -> list[Exception]:
        """Mistakes in analyses, of which the others know nothing."""
        return [o.bug for member in self.members for o in member.outcomes if o.bug is not None]

    def write(self) -> list[Path]:
        """Write the page and its Markdown of what is finished; nothing if nothing is.

        Returns:
            The files; without the page where jinja2 is not installed.
        """
        if not any(member.analysed.results for member in self.members):
            return []
        text = self.page.with_suffix(".md")
        folder = self.page.parent
        write_atomically(text, f"# {self.title}\n\n{as_markdown(self.analysed, folder)}")
        try:
            page = analyses_page(self.title, self.analysed)
        except NoTemplates:
            return [text]
        write_atomically(self.page, page)
        return [self.page, text]
