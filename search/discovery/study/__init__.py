"""The Optuna study of a discovery: one trial for every formula that passed the filters."""
