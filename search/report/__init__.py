"""What is shown after it ran."""
