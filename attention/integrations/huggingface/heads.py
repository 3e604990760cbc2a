"""Heads inside a Hugging Face model, whose configuration knows what is set in them later."""

from __future__ import annotations

from typing import Any

from attenergy.attention.integrations.heads import EnergyHeads

#: Name of the definition in a model's configuration.
ENTRY = "attenergy"


class ModelHeads(EnergyHeads):
    """Heads of one attention module; arguments as of `EnergyHeads`.

    An option that is set after the model was energized (`module.energy_heads.steps = 3`) is
    written to the model's configuration, under `attenergy.changed` and the name of the module, so
    that saving and loading keep it.
    """

    _place: tuple[Any, str] | None = None

    def put_into(self, config: Any, name: str) -> None:
        """Say where the heads are.

        Args:
            config: the model's configuration, which holds the definition.
            name: of the attention module, without the prefix of the base model.
        """
        self._place = (config, name)

    def changed(self, name: str) -> None:
        """Remember an option that was set later."""
        super().changed(name)
        if self._place is None:
            return
        config, place = self._place
        entry = dict(getattr(config, ENTRY))
        all_changed = dict(entry.get("changed", {}))
        all_changed[place] = {**all_changed.get(place, {}), name: getattr(self, name)}
        setattr(config, ENTRY, {**entry, "changed": all_changed})
