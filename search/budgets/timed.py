"""What a search and a comparison under a budget in time have in common."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from attenergy.search.budgets.session import TimedSession
from attenergy.search.budgets.sessions import Session, Sessions, read_sessions
from attenergy.search.budgets.watch import BudgetListener, written_down
from attenergy.search.engines.base import Executor
from attenergy.search.planning.plan import ComparePlan, SearchPlan
from attenergy.search.runs.events import Listener
from attenergy.search.runs.provenance import now

Plan = TypeVar("Plan", SearchPlan, ComparePlan)
#: Field of a plan that says how many training steps its runs have.
_STEPS = {SearchPlan: "train_steps", ComparePlan: "steps"}


@dataclass(frozen=True)
class Timed:
    """One session under a budget in time.

    Attributes:
        session: says what may begin.
        folder: of the study.
        before: its earlier sessions.
        entry: this one, as it is written down.
    """

    session: TimedSession
    folder: Path
    before: Sessions
    entry: Session

    @classmethod
    def of(cls, session: TimedSession, plan: Plan, expected: str, steps: int, fitting: int) -> Self:
        """A session that begins.

        Args:
            session: says what may begin.
            plan: of the study.
            expected: what is likely to fit, in a line.
            steps: training steps of a run, as planned.
            fitting: training steps with which it fits.
        """
        folder, budget = Path(plan.folder), session.budget
        before = read_sessions(folder)
        entry = Session(
            budget=budget.text,
            seconds=budget.seconds,
            started=now(),
            expected=expected,
            steps=fitting,
            shortened=fitting != steps or before.steps is not None,
        )
        return cls(session, folder, before, entry)

    def watching(
        self, listener: Listener, executor: Executor
    ) -> tuple[Listener, AbstractContextManager[None]]:
        """The listener of the session, and what writes the session down."""
        watch = BudgetListener(
            listener, self.session, executor.stop, self.folder, self.before, self.entry
        )
        return watch, written_down(watch)


def with_steps(plan: Plan, steps: int) -> Plan:
    """The plan with so many training steps."""
    return plan.model_copy(update={_STEPS[type(plan)]: steps})


def as_begun(plan: Plan) -> Plan:
    """The plan with the steps to which an earlier session of its study has shortened its runs."""
    steps = read_sessions(Path(plan.folder)).steps
    said = getattr(plan, _STEPS[type(plan)])
    return plan if steps is None or said is not None else with_steps(plan, steps)
