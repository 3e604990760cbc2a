"""Dense associative memories: features, metrics, layers of neurons, fast weights."""
