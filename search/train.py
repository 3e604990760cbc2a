"""Train one configuration from its seed and measure what came of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from attenergy.registry import TrainingSpec
from attenergy.search import cost, provenance
from attenergy.search.config import RunConfig, RunRecord, Status
from attenergy.search.failures import Diverged, in_one_line
from attenergy.search.model import build_model, save_weights
from attenergy.search.schedule import learning_rate, make_optimizer, set_learning_rate
from attenergy.tasks import Task, make_task

Report = Callable[[int, int, float], None]  # step, steps, loss


def train(
    config: RunConfig,
    *,
    purpose: provenance.Purpose = "trial",
    report: Report | None = None,
    weights: Path | None = None,
) -> RunRecord:
    """Run `config` to its end and return the record, whatever happens on the way.

    The same configuration gives the same metrics, bit for bit, on one machine with one thread.
    A loss or a score that is not finite ends the run as `diverged`, an exception as `failed`, both
    with a reason of one line; only an interrupt from the keyboard passes through. The global
    random generator is left as it was found.

    Args:
        config: what to run.
        purpose: kept in the record.
        report: called now and then with (step, steps, loss).
        weights: where to save the trained weights (safetensors) of a complete run.
    """
    progress = _Progress()
    started, begin = provenance.now(), time.perf_counter()
    status: Status = "complete"
    reason = ""
    try:
        with torch.random.fork_rng(devices=[]):
            model = _run(config, progress, report)
        if weights is not None:
            save_weights(model, weights)
    except Diverged as error:
        status, reason = "diverged", str(error)
    except Exception as error:
        status, reason = "failed", in_one_line(error)
    return RunRecord(
        key=config.run_key(),
        config_hash=config.config_hash(),
        config=config,
        status=status,
        reason=reason,
        metrics=progress.metrics,
        curve=progress.curve,
        cost={**progress.cost, "seconds": time.perf_counter() - begin},
        versions=provenance.versions(),
        machine={**provenance.machine(), "threads": str(torch.get_num_threads())},
        started=started,
        weights=str(weights) if weights is not None and status == "complete" else "",
        purpose=purpose,
    )


@dataclass
class _Progress:
    # What is known so far; it survives an exception.
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)
    cost: dict[str, float] = field(default_factory=dict)


def _run(config: RunConfig, progress: _Progress, report: Report | None) -> nn.Module:
    training = config.training
    torch.manual_seed(config.seed)
    task = make_task(config.task_spec, seed=config.seed, split_seed=config.split_seed)
    model = build_model(config, task)
    progress.cost["parameters"] = cost.count_parameters(model)
    batch = task.batch("valid", 0, 2)
    flops = cost.forward_flops(model, batch.inputs, batch.mask)
    progress.cost["forward_flops"] = flops

    if training.steps:
        _descend(model, task, training, progress, report)
    else:  # nothing to train; one evaluation stands for the curve
        scores = evaluate(model, task, "valid", training.valid_instances)
        progress.curve.append({"step": 0, **scores})
        progress.metrics["valid"] = scores
    for split in task.splits:
        if split not in {"train", "valid"}:
            progress.metrics[split] = evaluate(model, task, split, training.test_instances)
    return model


def _descend(
    model: nn.Module,
    task: Task,
    training: TrainingSpec,
    progress: _Progress,
    report: Report | None,
) -> None:
    """The training loop; fills in the curve and the last validation scores."""
    optimizer = make_optimizer(model, training)
    busy, losses = 0.0, []
    for step in range(training.steps):
        begin = time.perf_counter()
        rate = learning_rate(
            step, peak=training.learning_rate, warmup=training.warmup, total=training.steps
        )
        set_learning_rate(optimizer, rate)
        batch = task.batch("train", step * training.batch_size, training.batch_size)
        loss = task.loss(model(batch.inputs, mask=batch.mask), batch.targets)
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise Diverged(f"training loss {losses[-1]} at step {step} of {training.steps}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        busy += time.perf_counter() - begin

        done = step + 1
        progress.cost["ms_per_step"] = 1000.0 * busy / done
        if report is not None:
            report(done, training.steps, losses[-1])
        if done % training.evaluate_every == 0 or done == training.steps:
            where = f"after step {done}"
            scores = evaluate(model, task, "valid", training.valid_instances, where)
            mean_loss = math.fsum(losses) / len(losses)
            named = {"valid_loss" if n == "loss" else n: value for n, value in scores.items()}
            progress.curve.append({"step": done, "loss": mean_loss, **named})
            losses.clear()
            progress.metrics["valid"] = scores


def evaluate(
    model: nn.Module, task: Task, split: str, instances: int, where: str = ""
) -> dict[str, float]:
    """Average loss and metrics of the model over the first `instances` of a split.

    Raises:
        Diverged: if one of them is not finite; `where` completes the message.
    """
    model.eval()
    try:
        with torch.inference_mode():
            scores = task.evaluate(
                lambda batch: model(batch.inputs, mask=batch.mask), split, instances
            )
    finally:
        model.train()
    for name, value in scores.items():
        if not math.isfinite(value):
            raise Diverged(f"{split} {name} {value} {where}".rstrip())
    return scores
