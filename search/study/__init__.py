"""The Optuna study: its queue of trials, its finals, its resumption."""
