"""What is going to be run: plans, search files, spaces and budgets."""
