"""What rejects a formula in milliseconds, before anything is trained."""
