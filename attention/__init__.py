"""From an energy to an update to a layer."""
