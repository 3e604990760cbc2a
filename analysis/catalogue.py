"""Every analysis by its name on the command line; a new one is one entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from attenergy.analysis.attractors.fixed_points import fixed_points_of
from attenergy.analysis.depth.energy_along_depth import energy_of
from attenergy.analysis.dropping.of_subject import redundancy_of_subject
from attenergy.analysis.dropping.order import ORDERS
from attenergy.analysis.dropping.search import DROPS, RANDOM_ORDERS, TOLERANCE
from attenergy.analysis.landscapes.heads import subject_landscape
from attenergy.analysis.result import Progress, Result
from attenergy.analysis.subject import Subject
from attenergy.registry import AnalysisError, Scalar, UnknownName, as_written

#: What a subject may have to have.
Need = Literal["task", "untrained"]
#: Why a subject that lacks it cannot be analysed.
_LACKS: dict[Need, tuple[Callable[[Subject], bool], str]] = {
    "task": (lambda subject: subject.task is None, "it needs the task of the model"),
    "untrained": (
        lambda subject: subject.make_untrained is None,
        "it needs the model as it was before training, which a run of a study has",
    ),
}


@dataclass(frozen=True)
class Option:
    """What can be set of an analysis: `--set NAME.OPTION=VALUE` on the command line.

    Attributes:
        name: of the option.
        default: what holds if nothing is set; its type is that of every value, None stands for a
            value that the analysis chooses by itself.
        about: what it decides, in a few words.
        least: the smallest number that is allowed.
        most: the largest.
        choices: the values that are allowed, if they are few.
        kind: the type of a value, where the default is None.
    """

    name: str
    default: Scalar | None
    about: str
    least: float | None = None
    most: float | None = None
    choices: tuple[Scalar, ...] = ()
    kind: type[bool] | type[int] | type[float] | type[str] | None = None

    def check(self, value: object, analysis: str) -> Scalar | None:
        """The value, as the option takes it.

        Raises:
            ArgumentError: it is of another type, or none that is allowed.
        """
        kind = self.kind or type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise AnalysisError(f"{self._place(analysis)} is {_TYPES[kind]}, got {value!r:.80}")
        assert isinstance(value, (bool, int, float, str))
        if self.choices and value not in self.choices:
            raise UnknownName(
                f"value of {self._place(analysis)}",
                as_written(value),
                map(as_written, self.choices),
            )
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            low, high = self.least, self.most
            # Written so that what is no number is refused.
            if not ((low is None or value >= low) and (high is None or value <= high)):
                raise AnalysisError(
                    f"{self._place(analysis)} must be {self.allowed}, got {as_written(value)}"
                )
        return value

    @property
    def allowed(self) -> str:
        """What values are allowed, in words."""
        if self.choices:
            return ", ".join(map(as_written, self.choices))
        ends = [f"at least {self.least:g}"] if self.least is not None else []
        ends += [f"at most {self.most:g}"] if self.most is not None else []
        return " and ".join(ends) or _TYPES[self.kind or type(self.default)]

    def _place(self, analysis: str) -> str:
        return f"option {analysis}.{self.name}"


_TYPES: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
}


@dataclass(frozen=True)
class AnalysisKind:
    """One row of the catalogue.

    Attributes:
        name: as on the command line.
        title: as a heading.
        about: the question that it answers, in one line.
        run: makes the result of a subject, with all options by name and a call for progress. An
            `AttenergyError` that it raises says why the subject cannot be analysed so.
        needs: what a subject must have.
        options: what can be set.
        version: to be raised where the same subject and options give another result.

    Example:
        >>> kind = ANALYSES["fixed-points"]
        >>> kind.title, len(kind.options) > 0
        ('Fixed points', True)
    """

    name: str
    title: str
    about: str
    run: Callable[[Subject, Mapping[str, Any], Progress | None], Result]
    needs: Sequence[Need] = ()
    options: Sequence[Option] = ()
    version: int = 1

    def lacking(self, subject: Subject) -> str:
        """Why a subject cannot be analysed so, in words; empty if it can."""
        for need in self.needs:
            lacks, reason = _LACKS[need]
            if lacks(subject):
                return reason
        return ""

    def settings(self, given: Mapping[str, object]) -> dict[str, Scalar | None]:
        """Every option with its value.

        Args:
            given: values by the names of options.

        Raises:
            UnknownName: there is no such option.
            ArgumentError: a value is not allowed.
        """
        known = {option.name: option for option in self.options}
        for name in given:
            if name not in known:
                raise UnknownName(f"option of {self.name}", name, known)
        return {
            name: option.check(given[name], self.name) if name in given else option.default
            for name, option in known.items()
        }


def _latent_code(subject: Subject, options: Mapping[str, Any], progress: Progress | None) -> Result:
    from attenergy.analysis.codes.extraction import pairs_of
    from attenergy.analysis.codes.of_task import latent_code_of_task

    assert subject.task is not None
    settings = {**options, "pairs": pairs_of(options["pairs"])}
    settings["tsne"] = None if options["tsne"] else False  # if it can be had
    return latent_code_of_task(
        subject.model, subject.task, seed=subject.seed, progress=progress, **settings
    )


def _laws(subject: Subject, options: Mapping[str, Any], progress: Progress | None) -> Result:
    from attenergy.analysis.diagnosis.diagnose import diagnose

    inputs, arguments = subject.batches[0]
    before = subject.untrained if options["untrained"] else None
    return diagnose(
        subject.model, *inputs, untrained=before, seed=subject.seed, progress=progress, **arguments
    )


def _paths(subject: Subject, options: Mapping[str, Any], progress: Progress | None) -> Result:
    from attenergy.analysis.paths.of_subject import paths_of_subject

    return paths_of_subject(subject, options, progress)


#: Every analysis, in the order in which they are shown.
_KINDS: tuple[AnalysisKind, ...] = (
    AnalysisKind(
        "landscape",
        "Landscape of a head",
        "Where do the states of a head come to rest, and from where?",
        subject_landscape,
        options=(
            Option(
                "head",
                None,
                "layer and head, blocks.0.mixer:2; by default the one with most places of rest",
                kind=str,
            ),
            Option("sample", 0, "which sample of the first batch", 0),
            Option("state", -1, "whose view of the patterns; -1 is the last"),
        ),
    ),
    AnalysisKind(
        "energy",
        "Energy along the forward pass",
        "Do the steps of a head, and its whole block, lower its energy?",
        energy_of,
        options=(Option("blocks", True, "whether whole blocks are run again, on their outputs"),),
    ),
    AnalysisKind(
        "fixed-points",
        "Fixed points",
        "What do the states of each head come to rest on: all patterns, some, or one?",
        fixed_points_of,
        options=(
            Option("tolerance", 1e-5, "a state rests when a step moves it by less", least=1e-12),
            Option("max_steps", 200, "most steps", least=1),
            Option("states", 1024, "most states of a head that are iterated", least=1),
            Option("samples", 8, "states of a head with radius and basin", least=1),
            Option("untrained", True, "whether the model before training stands beside"),
        ),
    ),
    AnalysisKind(
        "latent-code",
        "Latent code",
        "What do the weights of all heads together tell of the rule behind an instance?",
        _latent_code,
        ("task",),
        (
            Option("instances", 3000, "of seen combinations, and half as many held-out ones", 30),
            Option("seen", "test", "split whose combinations the model was trained on"),
            Option("held_out", "ood", "split whose combinations it was not"),
            Option("pairs", "-1:-1", "positions and what they read, STATE:PATTERN,..."),
            Option("permutations", 20, "of the labels, as a control", 1, 1000),
            Option("tsne", True, "whether to draw t-SNE, where scikit-learn is installed"),
        ),
        version=2,
    ),
    AnalysisKind(
        "laws",
        "Laws on the trained model",
        "Do weights, steps, patterns and beta of every head look healthy, and what to change?",
        _laws,
        options=(Option("untrained", True, "whether beta before training stands beside"),),
    ),
    AnalysisKind(
        "redundancy",
        "Redundancy",
        "Which attention layers, MLPs and blocks can the model do without?",
        redundancy_of_subject,
        options=(
            Option("drop", "joint", "what is dropped", choices=DROPS),
            Option("order", "one-shot", "scores of the whole or of what is left", choices=ORDERS),
            Option("most", None, "how many are dropped at most; all by default", 1, kind=int),
            Option("remove", None, "how many the smaller model does without", 1, kind=int),
            Option("metric", None, "which number of the task counts", kind=str),
            Option("tolerance", TOLERANCE, "what counts as no loss, as a share", 0, 0.99),
            Option("random_orders", RANDOM_ORDERS, "random orders of the control", 0, 100),
            Option("save_smaller", None, "folder for the smaller model", kind=str),
        ),
    ),
    AnalysisKind(
        "paths",
        "Attention paths",
        "Which paths through the heads carry what the task asks for, and which heads can go?",
        _paths,
        ("task",),
        (
            Option("points", 256, "scored positions for the alignments, at most", 8),
            Option("most_paths", 256, "paths that are followed one by one, at most", 1, 1024),
            Option("shuffles", 200, "how often the targets are shuffled", 20),
            Option("skip", True, "whether paths may go around a layer"),
            Option("prune", True, "whether heads are removed to see what that costs"),
            Option("draws", 5, "random orders of removal", 1),
        ),
        version=2,
    ),
)

#: Name -> analysis.
ANALYSES: dict[str, AnalysisKind] = {kind.name: kind for kind in _KINDS}
