"""Where else a search may write: TensorBoard, Weights & Biases, MLflow, or an object of yours.

The records on disk stay the truth. A logger only copies, and one that fails is left out from then
on, with a line that says so: it must not cost a search.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, Protocol

from attenergy.registry import MissingPackage, UnknownName
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import ForwardingListener, Listener
from attenergy.search.runs.names import as_path_part


class MissingLogger(MissingPackage, ValueError):
    """The package of a logger is not installed."""


class Logger(Protocol):
    """What a logger must have; three methods, called in the driver's process."""

    def on_run_start(self, config: RunConfig) -> None:
        """A run begins; its key is `config.run_key()`."""

    def on_point(self, key: str, step: int, values: Mapping[str, float]) -> None:
        """A run was evaluated after `step` training steps."""

    def on_run_end(self, record: RunRecord) -> None:
        """A run ended; the record holds everything."""


class TensorBoard:
    """A folder for each run below `target`; `tensorboard --logdir target` shows them."""

    def __init__(self, target: str) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise _missing("TensorBoard", "tensorboard") from error
        self._make, self._target = SummaryWriter, target or "tensorboard"
        self._writers: dict[str, Any] = {}

    def on_run_start(self, config: RunConfig) -> None:
        """Open the run's folder, named by variant, seed and key."""
        key = config.run_key()
        name = as_path_part(f"{config.variant}-seed{config.seed}-{key[:8]}")
        self._writers[key] = self._make(f"{self._target}/{name}")

    def on_point(self, key: str, step: int, values: Mapping[str, float]) -> None:
        """Add a scalar for each value."""
        for name, value in values.items():
            self._writers[key].add_scalar(name, value, step)

    def on_run_end(self, record: RunRecord) -> None:
        """Add the final scores with the configuration, and close the folder."""
        writer = self._writers.pop(record.key)
        settings = {n: v for n, v in _flat(record.config).items() if v is not None}
        # A run name of its own would make a folder inside the folder.
        writer.add_hparams(settings, _scores(record), run_name=".")
        writer.close()


class WandB:
    """One run of Weights & Biases for each run, in the project `target`."""

    def __init__(self, target: str) -> None:
        self._wandb, self._project = _module("wandb", "Weights & Biases"), target or "attenergy"
        self._runs: dict[str, Any] = {}

    def on_run_start(self, config: RunConfig) -> None:
        """Begin a run beside those that are open."""
        key = config.run_key()
        self._runs[key] = self._wandb.init(
            project=self._project,
            name=f"{config.variant}-{key[:8]}",
            config=_flat(config),
            reinit="create_new",
        )

    def on_point(self, key: str, step: int, values: Mapping[str, float]) -> None:
        """Log the values."""
        self._runs[key].log(dict(values), step=step)

    def on_run_end(self, record: RunRecord) -> None:
        """Keep the scores as the run's summary, and end it."""
        run = self._runs.pop(record.key)
        run.summary.update({**_scores(record), "status": record.status})
        run.finish(exit_code=0 if record.status in {"complete", "pruned"} else 1)


class MLflow:
    """One MLflow run for each run, in the experiment `target`; the address is MLflow's own."""

    def __init__(self, target: str) -> None:
        mlflow = _module("mlflow", "MLflow")
        self._client = mlflow.MlflowClient()
        name = target or "attenergy"
        known = self._client.get_experiment_by_name(name)
        self._experiment = (
            known.experiment_id if known is not None else self._client.create_experiment(name)
        )
        self._runs: dict[str, str] = {}

    def on_run_start(self, config: RunConfig) -> None:
        """Make a run with its parameters."""
        key = config.run_key()
        run = self._client.create_run(self._experiment, run_name=f"{config.variant}-{key[:8]}")
        self._runs[key] = run.info.run_id
        for name, value in _flat(config).items():
            self._client.log_param(run.info.run_id, name, value)

    def on_point(self, key: str, step: int, values: Mapping[str, float]) -> None:
        """Log the values."""
        for name, value in values.items():
            self._client.log_metric(self._runs[key], name, value, step=step)

    def on_run_end(self, record: RunRecord) -> None:
        """Log the scores and end the run."""
        run = self._runs.pop(record.key)
        for name, value in _scores(record).items():
            self._client.log_metric(run, name, value)
        good = record.status in {"complete", "pruned"}
        self._client.set_terminated(run, status="FINISHED" if good else "FAILED")


LOGGERS: dict[str, type[TensorBoard] | type[WandB] | type[MLflow]] = {
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "mlflow": MLflow,
}


def make_logger(text: str) -> Logger:
    """The logger that `tensorboard:DIR`, `wandb:PROJECT` or `mlflow:EXPERIMENT` asks for.

    Raises:
        UnknownName: there is no such logger.
        MissingLogger: its package is not installed.
    """
    name, _, target = text.partition(":")
    if name not in LOGGERS:
        raise UnknownName("logger", name, LOGGERS)
    return LOGGERS[name](target)


class Logged(ForwardingListener):
    """A listener that reports to loggers as well: use it in the place of `inner`.

    As a context manager it opens and closes `inner`.

    Args:
        inner: receives every event.
        loggers: receive the runs that begin, are evaluated, and end.
    """

    def __init__(self, inner: Listener, *loggers: Logger) -> None:
        super().__init__(inner)
        self._loggers = list(loggers)
        self._open: set[str] = set()

    def started(self, config: RunConfig) -> None:
        """Forward it; loggers begin the run."""
        super().started(config)
        self._open.add(config.run_key())
        self._log("on_run_start", config)

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        """Forward it; loggers get the point."""
        super().evaluated(key, point)
        self._log_point(key, point)

    def continued(self, key: str, step: int, curve: list[dict[str, float]]) -> None:
        """Forward it; loggers get the points that the run had before."""
        super().continued(key, step, curve)
        for point in curve:
            self._log_point(key, point)

    def _log_point(self, key: str, point: dict[str, float]) -> None:
        if key in self._open:
            values = {name: value for name, value in point.items() if name != "step"}
            self._log("on_point", key, int(point["step"]), values)

    def finished(self, record: RunRecord) -> None:
        """Forward it; loggers end the run."""
        super().finished(record)
        if record.key in self._open:
            self._open.discard(record.key)
            self._log("on_run_end", record)

    def _log(self, event: str, *arguments: object) -> None:
        for logger in list(self._loggers):
            try:
                getattr(logger, event)(*arguments)
            except Exception as error:
                self._loggers.remove(logger)
                name = type(logger).__name__
                self.message(f"{name} failed and is left out from here on: {error}")


def _flat(config: RunConfig) -> dict[str, Any]:
    """The configuration in one level: what tells runs apart."""
    shared = {**config.model.model_dump(), **config.training.model_dump()}
    own = {f"{config.variant}.{name}": value for name, value in config.settings.items()}
    return {"variant": config.variant, "task": config.task, **own, **shared, "seed": config.seed}


def _scores(record: RunRecord) -> dict[str, float]:
    scores = {
        f"final/{split}_{name}": value
        for split, values in record.metrics.items()
        for name, value in values.items()
    }
    return {**scores, **{f"cost/{name}": value for name, value in record.cost.items()}}


def _module(name: str, shown: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise _missing(shown, name) from error


def _missing(shown: str, package: str) -> MissingLogger:
    return MissingLogger(f"logging to {shown} needs its package: `pip install {package}`")
