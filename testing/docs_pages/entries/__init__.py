"""One page for every energy, mixer and task, made from the registry, the code and measurements."""
