"""The search that a user of PyTorch and Optuna would write: `nn.TransformerEncoder` in a loop.

    python benchmarks/searches/plain_optuna_loop.py --trials 4 --threads 2

Learning rates of a pre-norm encoder on raven-small, proposed by TPE; AdamW with warm-up and
cosine, batches of 128, and at the end of each trial the accuracy on valid, test and ood. Only the
instances come from the toolkit. `benchmarks/throughput.py` runs it beside `attenergy search`.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator

import optuna
import torch
from torch import Tensor, nn

import attenergy
from attenergy.tasks import Batch, Task

BATCH, WARMUP, EVALUATION_BATCH = 128, 100, 256
INSTANCES = {"valid": 2048, "test": 4096, "ood": 4096}


class Encoder(nn.Module):
    """Two pre-norm blocks of width 64 with 8 heads, and learned positions."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.embed = nn.Linear(task.inputs.size, 64)
        self.positions = nn.Parameter(0.02 * torch.randn(task.inputs.length, 64))
        block = nn.TransformerEncoderLayer(
            64, 8, 128, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(
            block, 2, norm=nn.LayerNorm(64), enable_nested_tensor=False
        )
        self.read = nn.Linear(64, task.outputs.size)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, L, C) of vectors (B, L, size)."""
        logits: Tensor = self.read(self.blocks(self.embed(inputs) + self.positions))
        return logits


def training(task: Task, learning_rate: float, steps: int) -> Iterator[tuple[int, nn.Module]]:
    """Train from seed 0; the model after every step."""
    torch.manual_seed(0)
    model = Encoder(task)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, weight_decay=0.1, fused=True
    )
    warmup = min(WARMUP, steps // 4)

    def rate(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    for step in range(steps):
        batch = task.batch("train", step * BATCH, BATCH)
        optimizer.zero_grad()
        loss = task.loss(model(batch.inputs), batch.targets)
        loss.backward()
        optimizer.step()
        schedule.step()
        yield step + 1, model


def accuracy(model: nn.Module, task: Task, split: str) -> float:
    """Share of the instances of a split whose answer is right."""
    model.eval()

    def predict(batch: Batch) -> Tensor:
        logits: Tensor = model(batch.inputs)
        return logits

    with torch.inference_mode():
        scores = task.evaluate(predict, split, INSTANCES[split], batch_size=EVALUATION_BATCH)
    model.train()
    return scores[task.metric]


def search(trials: int, steps: int, storage: str | None) -> dict[str, float]:
    """Trials of one process: when they began and ended, and the processor time of a step."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="plain", storage=storage, direction="maximize", load_if_exists=True
    )

    def objective(trial: optuna.Trial) -> float:
        task = attenergy.make_task("raven-small")
        rate = trial.suggest_float("lr", 1e-3, 1e-2, log=True)
        *_, (_, model) = training(task, rate, steps)
        scores = {split: accuracy(model, task, split) for split in INSTANCES}
        trial.set_user_attr("scores", scores)
        return scores["valid"]

    begin, busy = time.time(), time.process_time()
    study.optimize(objective, n_trials=trials)
    busy = time.process_time() - busy
    return {
        "trials": trials,
        "begin": begin,
        "end": time.time(),
        "cpu_per_step": busy / trials / steps,
    }


def until(level: float, steps: int, every: int) -> dict[str, float | bool]:
    """One training of `steps`; its processor seconds until the accuracy on valid is `level`.

    Evaluations are not counted. `reached` is false if it never does; then all its seconds stand.
    """
    task = attenergy.make_task("raven-small")
    begin, looking, best, step = time.process_time(), 0.0, 0.0, 0
    for step, model in training(task, 3e-3, steps):
        if step % every and step < steps:
            continue
        look = time.process_time()
        best = max(best, accuracy(model, task, "valid"))
        looking += time.process_time() - look
        if best >= level:
            break
    seconds = time.process_time() - begin - looking
    return {"seconds": seconds, "steps": step, "valid": best, "reached": best >= level}


def main() -> None:
    """Run the loop, or one training until a level; what was measured is the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--storage", default=None)
    parser.add_argument("--until", type=float, default=None, help="valid accuracy to reach")
    parser.add_argument("--evaluate-every", type=int, default=200)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.until is not None:
        print(json.dumps(until(arguments.until, arguments.steps, arguments.evaluate_every)))
    else:
        print(json.dumps(search(arguments.trials, arguments.steps, arguments.storage)))


if __name__ == "__main__":
    main()
