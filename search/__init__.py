"""Training, search, comparison and the command line."""
