"""Registry of energies, mixers, tasks and search spaces: YAML to validated specs."""
