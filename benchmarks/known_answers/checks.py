"""Claims, and how they are asked of other people's packages, which need not be there.

What is installed is imported when it is asked. See `elsewhere.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

TORCH = {"project": "PyTorch", "package": "torch"}
HOPFIELD = {
    "project": "hopfield-layers (its loop, as in difflayers)",
    "package": "difflayers",
    "read": "hflayers/functional.py, commit 5231d29",
}
TRANSFORMER = {
    "project": "energy-transformer-torch (Lemon-cmd)",
    "package": "",
    "read": "image_et/core.py, commit 4e6417d",
}


@dataclass(frozen=True)
class Check:
    """A claim asked of a project; `run` returns whether it holds, and what was measured."""

    claim: str
    project: str
    package: str
    run: Callable[[], tuple[bool, str]]
    read: str = ""


def draw(*shape: int, seed: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=source, dtype=torch.float64)


def attend(state: Tensor, X: Tensor, beta: float = 1.0) -> Tensor:
    """One step of log-sum-exp."""
    return (beta * state @ X.mT).softmax(-1) @ X


def largest(value: Tensor) -> str:
    return f"{float(value.detach().abs().max()):.1g}"


def hopfield(**settings: Any) -> Any:
    """The layer without projections and norms: patterns and states as they are."""
    names = ("stored_pattern", "state_pattern", "pattern_projection")
    plain = {f"{name}_as_static": True for name in names}
    plain |= {f"normalize_{name}{more}": False for name in names for more in ("", "_affine")}
    plain |= {"scaling": 1.0, "disable_out_projection": True, "batch_first": True}
    return import_module("difflayers").Hopfield(input_size=4, num_heads=1, **plain, **settings)


def hopfield_steps() -> tuple[bool, str]:
    X, state = draw(1, 6, 4), draw(1, 3, 4, seed=1)
    given = hopfield(update_steps_max=2, update_steps_eps=1e-12)((X, state, X))
    for steps in range(1, 6):
        state = attend(state, X)
        if torch.allclose(state, given, atol=1e-12):
            return steps == 2, f"update_steps_max=2 makes {steps} updates"
    return False, "no number of updates gives the same"


def hopfield_batch_mates() -> tuple[bool, str]:
    layer = hopfield(update_steps_max=50, update_steps_eps=1e-2)
    X, state = draw(8, 6, 4), draw(8, 3, 4, seed=1)
    together = layer((X, state, X))
    alone = [layer((X[i : i + 1], state[i : i + 1], X[i : i + 1])) for i in range(8)]
    error = together - torch.cat(alone)
    holds = bool(error.abs().max() < 1e-12)
    return holds, f"with update_steps_eps=0.01 a sample moves by {largest(error)} with its batch"


def hopfield_padding() -> tuple[bool, str]:
    X, state = draw(1, 6, 4), draw(1, 3, 4, seed=1)
    all_hidden = torch.ones(1, 6, dtype=torch.bool)
    output = hopfield()((X, state, X), stored_pattern_padding_mask=all_hidden)
    return bool(output.isfinite().all()), "the output is NaN" if output.isnan().any() else "finite"


def hopfield_masks() -> tuple[bool, str]:
    X, state = draw(1, 6, 4), draw(1, 3, 4, seed=1)
    hidden = torch.arange(6)[None] >= 4
    masked = hopfield()((X, state, X), stored_pattern_padding_mask=hidden)
    error = masked - hopfield()((X[:, :4], state, X[:, :4]))
    return bool(error.abs().max() < 1e-12), f"difference {largest(error)}"


def hopfield_beta() -> tuple[bool, str]:
    try:
        hopfield_with = import_module("difflayers").Hopfield
        hopfield_with(input_size=4, scaling=torch.nn.Parameter(torch.ones(1)))(draw(1, 3, 4))
    except AssertionError:
        return (
            False,
            "scaling=nn.Parameter(...) ends in an AssertionError; a number or tensor is fine",
        )
    return True, "scaling may be a parameter"


def transformer_masks() -> tuple[bool, str]:
    """-1/beta logsumexp(beta A) with A *= mask before it, as the port has it."""
    scores, seen = draw(5, 6), torch.arange(6) < 4
    error = torch.logsumexp(scores * seen, -1) - torch.logsumexp(scores[:, :4], -1)
    what = "logits are multiplied by the mask, so a hidden key counts as exp(0)"
    return bool(error.abs().max() < 1e-12), f"{what}; E is off by {largest(error)}"


def mha_padding() -> tuple[bool, str]:
    layer = torch.nn.MultiheadAttention(4, 2, batch_first=True, dtype=torch.float64)
    X = draw(1, 6, 4)
    output = layer(X, X, X, key_padding_mask=torch.ones(1, 6, dtype=torch.bool))[0]
    return bool(output.isfinite().all()), "the output is NaN" if output.isnan().any() else "finite"


def sdpa_padding() -> tuple[bool, str]:
    X = draw(1, 6, 4)
    nothing = torch.zeros(6, 6, dtype=torch.bool)
    output = torch.nn.functional.scaled_dot_product_attention(X, X, X, attn_mask=nothing)
    return bool(output.isfinite().all()), "the output is 0" if not output.any() else "finite"


def x_transformers_attend(k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    attend = import_module("x_transformers.attend").Attend(heads=2)
    output: Tensor = attend(draw(1, 2, 5, 4), k, v, mask=mask)[0]
    return output


def x_transformers_masks() -> tuple[bool, str]:
    k, v = draw(1, 2, 6, 4, seed=1), draw(1, 2, 6, 4, seed=2)
    masked = x_transformers_attend(k, v, torch.arange(6)[None] < 4)
    deleted = x_transformers_attend(k[:, :, :4], v[:, :, :4], torch.ones(1, 4, dtype=torch.bool))
    error = masked - deleted
    return bool(error.abs().max() < 1e-12), f"difference {largest(error)}"


def x_transformers_padding() -> tuple[bool, str]:
    k, v = draw(1, 2, 6, 4, seed=1), draw(1, 2, 6, 4, seed=2)
    output = x_transformers_attend(k, v, torch.zeros(1, 6, dtype=torch.bool))
    return bool(output.isfinite().all()), "the output is 0" if not output.any() else "finite"


def cdist_twice() -> tuple[bool, str]:
    points = draw(3, 2).requires_grad_()
    (slope,) = torch.autograd.grad(
        torch.cdist(points, draw(4, 2, seed=1)).sum(), points, create_graph=True
    )
    try:
        torch.autograd.grad(slope.square().sum(), points)
    except NotImplementedError:
        return False, "cdist: NotImplementedError in the second derivative"
    return True, "cdist has second derivatives"


def entmax_twice() -> tuple[bool, str]:
    z = torch.tensor([[2.0, 0.0, -1.0, 1.9]], dtype=torch.float64, requires_grad=True)
    p = import_module("entmax").entmax15(z)
    (slope,) = torch.autograd.grad((p * torch.arange(4)).sum(), z, create_graph=True)
    (second,) = torch.autograd.grad(slope.square().sum(), z)
    zeros = int((p == 0).sum())
    seen = "NaN" if second.isnan().any() else "finite"
    return bool(
        second.isfinite().all()
    ), f"entmax15 with {zeros} weights of 0: second derivative {seen}"


def normmax_twice() -> tuple[bool, str]:
    z = torch.tensor([[2.0, 0.0, -1.0, 1.9]], dtype=torch.float64, requires_grad=True)
    normmax = import_module("entmax").normmax_bisect
    return bool(
        torch.autograd.gradgradcheck(lambda s: normmax(s, 2.0), z, raise_exception=False)
    ), "normmax_bisect passes gradgradcheck"


def hamux_beta() -> tuple[bool, str]:
    jax, hamux = import_module("jax"), import_module("hamux")
    x = jax.numpy.array([0.3, -0.7, 1.1])
    slope = float(jax.grad(lambda beta: hamux.lagr_tanh(x, beta))(1.3))
    above, below = hamux.lagr_tanh(x, 1.3 + 1e-5), hamux.lagr_tanh(x, 1.3 - 1e-5)
    finite = float(above - below) / 2e-5
    holds = abs(slope - finite) < 1e-4
    return holds, f"lagr_tanh: derivative by beta {slope:.3g}, by finite differences {finite:.3g}"


def hamux_overflow() -> tuple[bool, str]:
    jax, hamux = import_module("jax"), import_module("hamux")
    large = jax.numpy.array([100.0], dtype="float32")
    value = float(hamux.lagr_sigmoid(large)), float(hamux.lagr_tanh(large))
    holds = all(abs(v) < 200 for v in value)
    return holds, f"lagr_sigmoid(100) = {value[0]:g}, lagr_tanh(100) = {value[1]:g} in float32"


def hamux_tokens() -> tuple[bool, str]:
    jax, hamux = import_module("jax"), import_module("hamux")
    x = jax.numpy.array(draw(3, 4).numpy())
    delta = jax.numpy.array([0.1, 0.2, 0.3, 0.4])
    slope = jax.grad(lambda t: hamux.lagr_layernorm(t, 1.0, delta))(x)
    wanted = torch.nn.functional.layer_norm(draw(3, 4), (4,)) + torch.tensor([0.1, 0.2, 0.3, 0.4])
    error = torch.tensor(slope.tolist()) - wanted
    holds = bool(error.abs().max() < 1e-5)
    return (
        holds,
        f"lagr_layernorm with a shift, three tokens: its gradient is off by {largest(error)}",
    )


def other_minima(solver: str) -> tuple[bool, str]:
    deq = import_module("torchdeq").get_deq(
        f_solver=solver, f_max_iter=500, f_tol=1e-10, f_stop_mode="abs"
    )
    count = at_rest = 0
    for seed in range(5):
        X, state = draw(12, 6, seed=seed), draw(20, 6, seed=100 + seed)
        rest = state
        for _ in range(3000):
            rest = attend(rest, X)
        solution = deq(partial(attend, X=X), state)[0][-1]
        other = (solution - rest).norm(dim=-1) > 1e-3
        count += int(other.sum())
        still = (attend(solution, X) - solution).norm(dim=-1) < 1e-6
        at_rest += int((other & still).sum())
    seen = f"{solver}: {count} of 100 states end elsewhere than plain steps do"
    return count == 0, seen + (f" ({at_rest} on another fixed point)" if count else "")


def deq_batch_mates() -> tuple[bool, str]:
    X, state = draw(12, 6), draw(20, 6, seed=1)
    deq = import_module("torchdeq").get_deq(
        f_solver="fixed_point_iter", f_max_iter=500, f_tol=1e-2, f_stop_mode="abs"
    )
    step = partial(attend, X=X, beta=0.3)
    together = deq(step, state)[0][-1]
    error = together - torch.cat([deq(step, state[i : i + 1])[0][-1] for i in range(20)])
    holds = bool(error.abs().max() < 1e-12)
    return holds, f"with f_tol=0.01 a sample moves by {largest(error)} with its batch"


CHECKS = (
    Check("masks", run=hopfield_masks, **HOPFIELD),
    Check("masks", "x-transformers", "x-transformers", x_transformers_masks),
    Check("masks", run=transformer_masks, **TRANSFORMER),
    Check("nothing", run=hopfield_padding, **HOPFIELD),
    Check("nothing", run=mha_padding, **TORCH | {"project": "PyTorch, nn.MultiheadAttention"}),
    Check(
        "nothing", run=sdpa_padding, **TORCH | {"project": "PyTorch, scaled_dot_product_attention"}
    ),
    Check("nothing", "x-transformers", "x-transformers", x_transformers_padding),
    Check("steps", run=hopfield_steps, **HOPFIELD),
    Check("mates", run=hopfield_batch_mates, **HOPFIELD),
    Check("mates", "torchdeq", "torchdeq", deq_batch_mates),
    Check("beta", run=hopfield_beta, **HOPFIELD),
    Check("beta", "HAMUX", "hamux", hamux_beta),
    Check("overflow", "HAMUX", "hamux", hamux_overflow),
    Check("tokens", "HAMUX", "hamux", hamux_tokens),
    Check("twice", "entmax", "entmax", entmax_twice),
    Check("twice", "entmax", "entmax", normmax_twice),
    Check("twice", run=cdist_twice, **TORCH),
    Check("minima", "torchdeq", "torchdeq", lambda: other_minima("fixed_point_iter")),
    Check("minima", "torchdeq", "torchdeq", lambda: other_minima("anderson")),
    Check("minima", "torchdeq", "torchdeq", lambda: other_minima("broyden")),
)
