"""Parameters that a person asks to be tried first."""

from __future__ import annotations

from collections.abc import Mapping

from optuna.distributions import BaseDistribution, CategoricalDistribution

from attenergy.registry import ArgumentError, Scalar, UnknownName
from attenergy.search.planning.ranges import by_present_name, offers


def checked(wish: Mapping[str, Scalar], forms: Mapping[str, BaseDistribution]) -> dict[str, Scalar]:
    """The parameters of one enqueued trial; what they leave open is left to the sampler.

    Settings of a layer (`lse.beta`) name their variant, so `variant` may be left out.

    Args:
        wish: names and values as in a trial.
        forms: the open quantities of the space.

    Raises:
        UnknownName: the space has no such quantity, or it is fixed.
        ValueError: a value that is not offered, settings of several variants, or nothing at all.
    """
    if not wish:
        raise ArgumentError("an enqueued trial names no quantity")
    wish = {name: by_present_name(name, value) for name, value in wish.items()}
    for name, value in wish.items():
        if name not in forms:
            raise UnknownName("open quantity to enqueue", name, forms)
        if not offers(forms[name], value):
            allowed = _allowed(forms[name])
            raise ArgumentError(f"cannot enqueue {name} = {value!r}; the space offers {allowed}")
    owners = {name.split(".")[0] for name in wish if "." in name}
    owners |= {str(wish["variant"])} if "variant" in wish else set()
    if len(owners) > 1:
        raise ArgumentError(
            f"an enqueued trial has one variant, got {' and '.join(sorted(owners))}"
        )
    complete: dict[str, Scalar] = dict(wish)
    if owners and "variant" in forms:
        complete["variant"] = owners.pop()
    return complete


def _allowed(form: BaseDistribution) -> str:
    if isinstance(form, CategoricalDistribution):
        return ", ".join(map(str, form.choices))
    return f"{getattr(form, 'low', '')} to {getattr(form, 'high', '')}"
