"""Copies of a search's events for other programs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from attenergy.registry import UnknownName
from attenergy.search.display.trackers import Logged, MissingLogger, make_logger
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener

POINT = {"step": 10.0, "loss": 1.5, "accuracy": 0.25}


class EventLogger:
    """A logger that collects its events."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def on_run_start(self, config: RunConfig) -> None:
        self.events.append(("start", config.run_key()))

    def on_point(self, key: str, step: int, values: Mapping[str, float]) -> None:
        self.events.append(("point", key, step, dict(values)))

    def on_run_end(self, record: RunRecord) -> None:
        self.events.append(("end", record.key))


class Broken(EventLogger):
    def on_point(self, key: str, step: int, values: Mapping[str, float]) -> None:
        raise OSError("the server is gone")


class EventListener(Listener):
    def __init__(self) -> None:
        self.events: list[str] = []

    def started(self, config: RunConfig) -> None:
        self.events.append("started")

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        self.events.append("evaluated")

    def finished(self, record: RunRecord) -> None:
        self.events.append("finished")

    def message(self, text: str) -> None:
        self.events.append(text)


def run_of(listener: Logged, record: RunRecord) -> None:
    listener.started(record.config)
    listener.evaluated(record.key, POINT)
    listener.finished(record)


def test_a_logger_hears_a_run_in_order(make_record: Any) -> None:
    record, logger, inner = make_record("lse", (0.5,), beta=2.0), EventLogger(), EventListener()
    run_of(Logged(inner, logger), record)
    assert logger.events == [
        ("start", record.key),
        ("point", record.key, 10, {"loss": 1.5, "accuracy": 0.25}),
        ("end", record.key),
    ]
    assert inner.events == ["started", "evaluated", "finished"]


def test_a_logger_gets_the_points_of_a_run_that_goes_on(make_record: Any) -> None:
    record, logger = make_record("lse", (0.5,)), EventLogger()
    logged = Logged(Listener(), logger)
    logged.continued(record.key, 10, [POINT])
    logged.started(record.config)
    logged.continued(record.key, 10, [POINT])
    assert [event[0] for event in logger.events] == ["start", "point"]


def test_it_opens_and_closes_the_listener_inside() -> None:
    class Opened(Listener):
        state = ""

        def __enter__(self) -> Opened:
            self.state += "open "
            return self

        def __exit__(self, *_: object) -> None:
            self.state += "closed"

    inner = Opened()
    with Logged(inner) as listener:
        listener.message("hello")
    assert inner.state == "open closed"
    with Logged(Listener()) as listener:
        listener.message("hello")


def test_a_run_of_an_earlier_session_is_not_ended_twice(make_record: Any) -> None:
    logger = EventLogger()
    Logged(Listener(), logger).finished(make_record("lse", (0.5,)))
    assert logger.events == []


def test_a_broken_logger_is_left_out_and_costs_nothing(make_record: Any) -> None:
    logger, inner = EventLogger(), EventListener()
    listener = Logged(inner, Broken(), logger)
    run_of(listener, make_record("lse", (0.5,)))
    assert [event[0] for event in logger.events] == ["start", "point", "end"]
    assert "Broken failed and is left out from here on: the server is gone" in inner.events
    assert inner.events[-1] == "finished"


def test_a_real_search_is_logged_point_by_point(tmp_path: Path) -> None:
    from attenergy.registry import load_registry
    from attenergy.search.planning.plan import SearchPlan
    from attenergy.search.study.run import run_search

    plan = SearchPlan(
        study="s",
        folder=str(tmp_path),
        task="stacked-recall",
        task_options={"vocabulary": 16, "pairs": 4},
        variants=("softmax",),
        trials=1,
        control=0,
        workers=0,
        finalists=0,
        train_steps=4,
        fix={"valid_instances": 32, "test_instances": 32, "heads": 1, "evaluate_every": 2},
    )
    logger = EventLogger()
    (record,) = run_search(plan, load_registry(), Logged(Listener(), logger))
    points = [event for event in logger.events if event[0] == "point"]
    assert [event[2] for event in points] == [2, 4]
    assert points[-1][3]["accuracy"] == record.metrics["valid"]["accuracy"]
    assert logger.events[-1] == ("end", record.key)


def test_tensorboard_files_hold_the_curve(make_record: Any, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    record = make_record("lse", (0.5, 0.25), beta=2.0)
    run_of(Logged(Listener(), make_logger(f"tensorboard:{tmp_path}")), record)
    (folder,) = tmp_path.iterdir()
    assert folder.name == f"lse-seed0-{record.key[:8]}"
    events = EventAccumulator(str(folder))
    events.Reload()
    (point,) = events.Scalars("accuracy")
    assert (point.step, point.value) == (10, 0.25)
    assert events.Scalars("final/test_accuracy")[0].value == 0.25


class FakeRun:
    def __init__(self, calls: list[tuple[Any, ...]]) -> None:
        self.calls, self.summary = calls, {}  # type: ignore[var-annotated]
        self.info = SimpleNamespace(run_id="r1")

    def log(self, values: dict[str, float], step: int) -> None:
        self.calls.append(("log", step, values))

    def finish(self, exit_code: int) -> None:
        self.calls.append(("finish", exit_code, self.summary))


def test_wandb_is_called_as_it_expects(make_record: Any, monkeypatch: Any) -> None:
    calls: list[tuple[Any, ...]] = []

    def init(**arguments: Any) -> FakeRun:
        calls.append(("init", arguments))
        return FakeRun(calls)

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    record = make_record("lse", (0.5,), beta=2.0)
    run_of(Logged(Listener(), make_logger("wandb:mine")), record)
    assert calls[0][1]["project"] == "mine"
    assert calls[0][1]["config"]["lse.beta"] == 2.0
    assert calls[1] == ("log", 10, {"loss": 1.5, "accuracy": 0.25})
    assert calls[2][:2] == ("finish", 0)
    assert calls[2][2]["final/valid_accuracy"] == 0.5


def test_mlflow_is_called_as_it_expects(make_record: Any, monkeypatch: Any) -> None:
    calls: list[tuple[Any, ...]] = []

    class Client:
        def get_experiment_by_name(self, name: str) -> None:
            calls.append(("look", name))

        def create_experiment(self, name: str) -> str:
            return "e1"

        def create_run(self, experiment: str, run_name: str) -> FakeRun:
            calls.append(("run", experiment, run_name))
            return FakeRun(calls)

        def log_param(self, run: str, name: str, value: Any) -> None:
            calls.append(("param", run, name, value))

        def log_metric(self, run: str, name: str, value: float, step: int = 0) -> None:
            calls.append(("metric", run, name, value, step))

        def set_terminated(self, run: str, status: str) -> None:
            calls.append(("end", run, status))

    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=Client))
    record = make_record("lse", status="failed", reason="no", beta=2.0)
    run_of(Logged(Listener(), make_logger("mlflow")), record)
    assert calls[:2] == [("look", "attenergy"), ("run", "e1", f"lse-{record.key[:8]}")]
    assert ("param", "r1", "lse.beta", 2.0) in calls
    assert ("metric", "r1", "accuracy", 0.25, 10) in calls
    assert calls[-1] == ("end", "r1", "FAILED")


def test_unknown_and_missing_loggers_are_refused(monkeypatch: Any) -> None:
    with pytest.raises(UnknownName, match="did you mean 'tensorboard'"):
        make_logger("tensorbord:runs")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingLogger, match="pip install wandb"):
        make_logger("wandb")
