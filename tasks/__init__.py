"""Self-generated tasks."""
