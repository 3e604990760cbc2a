"""Every law holds for every entry."""

from __future__ import annotations

import pytest
import torch

from attenergy.analysis import curl
from attenergy.attention import make_layer
from attenergy.registry import UnknownName, load_registry
from attenergy.testing import KNOWN_ANSWERS, LAWS, LawResult, check_energy, check_law

REGISTRY = load_registry(plugins=False)

pytestmark = [
    pytest.mark.filterwarnings("ignore:There is a performance drop"),  # fused softmax under vmap
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # inside torch's compiler
]


DESCENT, GRADIENT, EXPORT, BOUNDED = (next(law for law in LAWS if law[0] == n) for n in "4789")
UNBOUNDED = "WARNING: the energy falls without bound"
NO_PROMISE = "declares neither a quadratic part nor 'descends'"
#: Where a law does not apply, and what the reason must say; everywhere else it must hold.
NOT_APPLICABLE = {
    ("hyper_set", DESCENT): NO_PROMISE,
    ("causal_tokens", DESCENT): NO_PROMISE,
    ("random_features", DESCENT): NO_PROMISE,
    ("learned", DESCENT): NO_PROMISE,
    ("tap", DESCENT): NO_PROMISE,
    ("pure_polynomial", DESCENT): NO_PROMISE,
    ("causal_tokens", GRADIENT): "a game",
    # Their entries say so, but the learned one's, which promises nothing.
    **{(name, BOUNDED): UNBOUNDED for name in ("rbm", "linear_attention", "ham", "learned")},
}


# An export takes a second: one entry of each kind, the others when asked.
QUICK = {"lse", "classical_hopfield", "graph_memory"}
#: Entries left out of the fast run, with a law's number: those of which the law takes long, if the
#: run has another entry of their kind (a formula with weights or by autograd alone, sparse weights,
#: a class of its own, states that act on each other, a graph, spins, a learned energy).
HEAVY = {
    *(("spherical_spins", law) for law in "1234569"),
    *((name, law) for name in ("boltzmann", "unrestricted_boltzmann") for law in "124569"),
    *(("n_vector", law) for law in "1245679"),
    *(("tap", law) for law in "12356"),
    *(("ising_mean_field", law) for law in "123456"),
    *(("energy_transformer_block", law) for law in "12456"),
    *(("hyper_set", law) for law in "12356"),
    *(("random_features", law) for law in "12569"),
    *(("entmax", law) for law in "24569"),
    *(("normmax", law) for law in "469"),
    *(("vector_spins", law) for law in "1245"),
    *(("potts", law) for law in "146"),
    *(("log_sum_kernel", law) for law in "12456"),
    *(("graph_memory", law) for law in "46"),
    *(("uhop", law) for law in "146"),
    *((name, law) for name in ("elliptical", "simplicial", "binary_rbm") for law in "146"),
    *((name, law) for name in ("pure_polynomial", "biased_hopfield") for law in "16"),
    *(("causal_tokens", law) for law in "16"),
    *(("ksubsets", law) for law in "469"),
    *(("lsr", law) for law in "46"),
    *((name, "6") for name in ("l2_lse", "zero_sink", "polynomial", "input_gated", "et_memory")),
    *((name, "6") for name in ("exponential", "gaussian_spins", "continuous_time")),
}
PAIRS = [
    pytest.param(name, law, marks=pytest.mark.slow)
    if (law == EXPORT and name not in QUICK) or (name, law[0]) in HEAVY
    else (name, law)
    for name in REGISTRY.energies
    for law in LAWS
]


@pytest.mark.parametrize(("name", "law"), PAIRS)
def test_every_entry_keeps_every_law(name, law):
    result = check_law(law, REGISTRY.energies[name])
    assert result.passed is not False, str(result)
    reason = NOT_APPLICABLE.get((name, law))
    if reason is not None:
        assert result.passed is None, f"the law applies now: {result}"
        assert reason in result.note
        return
    assert result.passed, str(result)
    assert result.figure is not None
    assert str(result).startswith("pass  ")


def test_every_entry_names_a_known_answer_and_every_answer_is_named():
    named = [answer for spec in REGISTRY.energies.values() for answer in spec.known_answers]
    assert all(spec.known_answers for spec in REGISTRY.energies.values())
    assert set(named) == set(KNOWN_ANSWERS)


# Law 7 for mixers: they have no energy, and those that claim nothing have curl.


@pytest.mark.parametrize("name", REGISTRY.mixers)
def test_mixers_have_no_energy(name):
    assert REGISTRY.mixers[name].energy is None


@pytest.mark.parametrize("name", REGISTRY.mixers)
def test_mixers_have_curl(name):
    """Their keys are not their values, so their updates are no gradients."""
    torch.manual_seed(3)
    layer = make_layer(name, embed_dim=6, num_heads=2, registry=REGISTRY, length=5).double()
    context, states = torch.randn(1, 5, 6).double(), torch.randn(1, 3, 6).double()
    explicit = {"need_weights": True} if layer.has_weights else {}

    def update(x, *patterns):
        result = layer(x, *patterns, **explicit)
        return result[0] if explicit else result

    assert curl(update, states) > 0.1
    if hasattr(layer.projections, "query"):  # else a context leaves nothing that depends on x
        assert curl(lambda x: update(x, context), states) > 0.1


def test_check_energy_runs_all_laws_in_order():
    results = check_energy("lse", REGISTRY)
    assert [r.law for r in results] == list(LAWS)
    assert all(isinstance(r, LawResult) and r.passed for r in results)
    with pytest.raises(UnknownName, match="did you mean 'lse'"):
        check_energy("lsee", REGISTRY)
