"""What every energy and every mixer costs beside attention written by hand.

Whole layers with projections (width 64, 4 heads, one step), forward and backward, float32, no
mask, one thread, for 2048 tokens: 113 sequences of N = 18, 32 of 64, 8 of 256, 2 of 1024. The base
is one map to queries, keys and values, `scaled_dot_product_attention` and a map back. A layer and
the base take turns within a round, CPU time of the process, median over rounds (`timing.py`).

Prints a line `name, target, measured, verdict` for each target, then the table of all layers.
`REASONS` says why a layer costs more than three times the base.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from formula_speed import HEADS, TOKENS, WIDTH, train
from timing import ratios_of_each, show
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from attenergy.attention import make_layer
from attenergy.energies import Energy
from attenergy.energies.language.conjugates import entmax
from attenergy.registry import load_registry
from attenergy.search.runs.config import RunConfig
from attenergy.search.training.model import build_model
from attenergy.search.training.optimizers import make_optimizers
from attenergy.search.training.predict import predict
from attenergy.tasks import make_task

LENGTHS = (18, 64, 256, 1024)
RESULTS = Path(__file__).parent / "results" / "layer_speed.json"

Numbers = dict[str, float]

#: Most that a layer may cost, over the base unless another layer is named, by length.
TARGETS: dict[str, tuple[str, tuple[float, ...]]] = {
    "lse": ("", (1.05, 1.05, 1.05, 1.05)),
    "lse, 3 steps": ("", (2.3, 2.3, 2.3, 2.3)),
    "rbm": ("", (1.0, 1.3, 1.7, 3.0)),
    "sparsemax": ("", (1.3, 2.0, 3.5, 7.0)),
    "entmax": ("", (1.6, 2.5, 4.5, 9.0)),
    "graph_memory": ("lse", (1.15, 1.15, 1.15, 1.15)),
}
#: Most that a training step of raven-small may cost, over the same with softmax.
STEP_TARGET = ("hyla", 1.4)
#: Weights and their gradients alone, (batch, heads, L, S).
WEIGHTS = ((128, 8, 18, 18), (4, 8, 256, 256))

#: Why a layer costs more than three times the base.
_HIDDEN = "B L S e numbers: a hidden layer for each pair of a state and a pattern"
_WHOLE = "weights in whole tensors, allocated anew at each operation (1 MB takes about 0.4 ms)"
_AUTOGRAD = "gradient by autograd of the energy, and backward through that"
_PAIRS = "each state is read by all others as well: scores along both axes"
REASONS: dict[str, str] = {
    "lse, 3 steps": "three calls of the kernel, which is nearly all of the layer from N = 256 on",
    "entmax": "a logarithm and a power for each score, in 4 to 7 Newton steps and once backward",
    "normmax": "twelve Newton steps of logarithms and powers on whole tensors",
    "ksubsets": "corners of the threshold are sorted",
    "polynomial": _WHOLE,
    "lsr": _WHOLE + "; radial factor and weights each have their own scores",
    "log_sum_kernel": _WHOLE + "; radial factor and weights each have their own scores",
    "graph_hopfield": _WHOLE,
    "input_gated": _WHOLE,
    "linear_attention": _WHOLE,
    "vector_spins": _WHOLE,
    "potts": _WHOLE,
    "ham": _WHOLE,
    "elliptical": _AUTOGRAD,
    "uhop": _AUTOGRAD,
    "classical_hopfield": _AUTOGRAD,
    "binary_rbm": _AUTOGRAD,
    "biased_hopfield": _AUTOGRAD,
    "n_vector": _AUTOGRAD,
    "pure_polynomial": _WHOLE,
    "simplicial": _AUTOGRAD + ", three sets of scores",
    "ising_mean_field": _AUTOGRAD,
    "tap": _AUTOGRAD + ", couplings squared besides",
    "random_features": _AUTOGRAD + " through 256 features",
    "energy_transformer": _PAIRS + "; " + _AUTOGRAD,
    "energy_transformer_block": _PAIRS + "; " + _AUTOGRAD,
    "hyper_set": _PAIRS + "; " + _AUTOGRAD,
    "causal_tokens": _PAIRS + "; " + _AUTOGRAD,
    "boltzmann": "twenty steps of a mean field for every state, each a product with the couplings",
    "unrestricted_boltzmann": "as boltzmann: twenty steps of a mean field for every state",
    "spherical_spins": "eigenvectors of the couplings between all states, anew in each pass",
    "squared_kernel": "D^2 features of each pattern, computed for every length",
    "aaren": "a scan over the positions",
    "attention_bn": _WHOLE,
    "attention_bn_weighted": _WHOLE,
    "attention_bn_sh": _WHOLE,
    "attention_sh": _WHOLE,
    "window": _WHOLE,
    "top_k": "the largest scores are sorted out",
    "linear_rms_head": _WHOLE,
    "linear_rms_head_relu_values": _WHOLE,
    "linear": _WHOLE,
    **dict.fromkeys(("hyla", "hyla_no_rms_head", "hyla_no_relu"), _HIDDEN),
    **dict.fromkeys(("hyla_no_rms_head_no_relu", "hyla_softmax", "hyla_deep"), _HIDDEN),
}


class ByHand(nn.Module):
    """Softmax attention as a careful programmer would write it."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        read = scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out(read.transpose(1, 2).flatten(2))
        return out


def layers() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name in the table, entry and settings of every layer."""
    registry = load_registry()
    for name in (*registry.energies, *registry.mixers):
        yield name, name, {"steps": 1} if name in registry.energies else {}
        if name == "lse":
            yield "lse, 3 steps", name, {"steps": 3}


def layer_of(entry: str, settings: dict[str, Any], length: int) -> nn.Module:
    """A layer whose parameters have left their starting values, as in training."""
    if entry in ("low_rank", "token_mixing"):
        settings = {**settings, "length": length}
    layer = make_layer(entry, embed_dim=WIDTH, num_heads=HEADS, **settings)
    for energy in (m for m in layer.modules() if isinstance(m, Energy)):
        for parameter in energy.parameters():
            with torch.no_grad():  # so that no order of an entropy has a closed form of its own
                parameter.add_(0.2 * torch.rand_like(parameter))
    return layer


def costs(names: list[str], lengths: list[int], rounds: int, seconds: float) -> dict[str, Numbers]:
    """Time of each layer over that of the base, by name and length."""
    table: dict[str, Numbers] = {}
    for length in lengths:
        x = torch.randn(max(1, TOKENS // length), length, WIDTH)
        base = partial(train, ByHand(), x)
        for name, entry, settings in layers():
            if names and name not in names:
                continue
            torch.manual_seed(0)
            layer = partial(train, layer_of(entry, settings, length), x)
            table.setdefault(name, {})[str(length)] = ratios_of_each(
                [base, layer], rounds, seconds
            )[1]
    return table


def training_step(name: str) -> Callable[[], object]:
    """One training step of raven-small with a layer, on one batch."""
    registry = load_registry()
    spec = registry.tasks["raven-small"]
    config = RunConfig(
        variant=name, layer=registry.layer(name), task="raven-small", task_spec=spec,
        model=spec.model, training=spec.training,
    )  # fmt: skip
    torch.manual_seed(0)
    task = make_task(spec)
    model = build_model(config, task)
    optimizers = make_optimizers(model, config.training)
    batch = task.batch("train", 0, config.training.batch_size)

    def step() -> None:
        loss = task.loss(predict(model, batch, task.scored_positions), batch.targets)
        optimizers.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizers.step()

    return step


def sorted_entmax(z: Tensor) -> Tensor:
    """Exact weights of alpha = 1.5 by sorting: max(z/2 - t, 0)^2 of sum 1.

    What the package `entmax` does by the same formulas (Peters et al. 2019, arXiv:1905.05702,
    algorithm 2), written anew as that package is not among the requirements.
    """
    half = (z - z.amax(-1, keepdim=True)) / 2
    ordered = half.detach().sort(-1, descending=True).values
    rank = torch.arange(1, z.shape[-1] + 1, dtype=z.dtype)
    mean, squares = ordered.cumsum(-1) / rank, (ordered * ordered).cumsum(-1) / rank
    spread = rank * (squares - mean * mean)
    tau = mean - ((1 - spread) / rank).clamp_min(0).sqrt()
    size = (tau <= ordered).sum(-1, keepdim=True)
    return _Half.apply(half, tau.gather(-1, size - 1))  # type: ignore[no-any-return, no-untyped-call]


class _Half(torch.autograd.Function):
    """max(z - t, 0)^2 with the derivative of alpha = 1.5, where t makes the sum 1."""

    @staticmethod
    def forward(ctx: Any, half: Tensor, tau: Tensor) -> Tensor:
        roots = torch.relu(half - tau)
        ctx.save_for_backward(roots)
        return roots * roots

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (roots,) = ctx.saved_tensors
        pulled = grad * roots
        mean = pulled.sum(-1, keepdim=True) / roots.sum(-1, keepdim=True)
        return 2 * (pulled - mean * roots), None


def weights_alone(rounds: int, seconds: float) -> dict[str, Numbers]:
    """Weights and gradient, alpha learned for each head, over those of sorting for alpha = 1.5."""
    table: dict[str, Numbers] = {}
    for shape in WEIGHTS:
        z, by = torch.randn(shape).requires_grad_(), torch.randn(shape)
        alpha = (1.45 + 0.1 * torch.rand(shape[1], 1, 1)).requires_grad_()

        def run(weights: Callable[[], Tensor], z: Tensor = z, by: Tensor = by) -> None:
            z.grad = None
            (weights() * by).sum().backward()

        exact, learned = partial(sorted_entmax, z), partial(entmax, z, alpha)
        sides = [partial(run, exact), partial(run, learned)]
        table[str(shape)] = {"entmax": ratios_of_each(sides, rounds, seconds)[1]}
    return table


def verdicts(table: dict[str, Numbers]) -> Iterator[dict[str, Any]]:
    """A row for each target whose layer was measured."""
    for name, (base, limits) in TARGETS.items():
        for length, limit in zip(map(str, LENGTHS), limits, strict=True):
            row = table.get(name, {}), table.get(base, {})
            if length not in row[0] or (base and length not in row[1]):
                continue
            measured = row[0][length] / (row[1][length] if base else 1.0)
            over = base or "SDPA by hand"
            yield verdict(f"{name} / {over}, N = {length}", limit, measured)


def verdict(name: str, limit: float, measured: float) -> dict[str, Any]:
    met = round(measured, 2) <= limit
    return {
        "name": name, "target": limit, "measured": round(measured, 3),
        "verdict": "met" if met else "missed",
    }  # fmt: skip


def add_missing(lengths: list[int], rounds: int, seconds: float) -> None:
    """Measure the layers that the JSON lacks, and write them into it in the registry's order."""
    result = json.loads(RESULTS.read_text())
    before = result["time / SDPA layer by hand"]
    names = [name for name, _, _ in layers()]
    table = costs([n for n in names if n not in before] or [""], lengths, rounds, seconds)
    both = before | table
    result["time / SDPA layer by hand"] = {name: both[name] for name in names}
    result["added later"] = sorted({*result.get("added later", []), *table})
    why = {n: REASONS[n] for n in table if max(table[n].values()) > 3 and n in REASONS}
    result["why above 3"] |= why
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    for name, row in table.items():
        print(name, row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rounds, N = 18 and 64")
    parser.add_argument("--layers", nargs="+", default=[], help="these alone, and no JSON")
    parser.add_argument("--missing", action="store_true", help="add what the JSON lacks to it")
    parser.add_argument("--lengths", nargs="+", type=int, default=list(LENGTHS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.15, help="of one side in a round")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rounds, seconds = (3, 0.03) if options.quick else (options.rounds, options.seconds)
    lengths = [18, 64] if options.quick else options.lengths
    if options.missing:
        add_missing(lengths, rounds, seconds)
        return
    table = costs(options.layers, lengths, rounds, seconds)
    rows = list(verdicts(table))
    alone: dict[str, Numbers] = {}
    if not options.layers:
        name, limit = STEP_TARGET
        both = [training_step("softmax"), training_step(name)]
        step = ratios_of_each(both, rounds, seconds)[1]
        rows.append(verdict(f"{name} / softmax, a training step of raven-small", limit, step))
        alone = weights_alone(rounds, seconds)
        rows += [
            verdict(f"entmax weights / sorted alpha = 1.5, {shape}", 1.0, numbers["entmax"])
            for shape, numbers in alone.items()
        ]
    for row in rows:
        print(", ".join(map(str, row.values())))
    columns = [str(length) for length in lengths]
    slow = {n: REASONS.get(n, "") if max(row.values()) > 3 else "" for n, row in table.items()}
    lines = [[n, *(row[c] for c in columns), slow[n]] for n, row in table.items()]
    show("time / SDPA layer by hand", ("", *(f"N={c}" for c in columns), "why above 3"), lines)
    if options.quick or options.layers:
        return
    result = {
        "torch": torch.__version__, "processor": platform.machine(), "load": os.getloadavg()[0],
        "rounds": rounds, "seconds": seconds, "width": WIDTH, "heads": HEADS, "tokens": TOKENS,
        "targets": rows, "time / SDPA layer by hand": table,
        "why above 3": {n: why for n, why in slow.items() if why},
    }  # fmt: skip
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
