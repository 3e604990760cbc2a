"""How states take steps down an energy: one solver in each file, `relax` in front of them."""
