"""The storage of a discovery, which Optuna owns."""
