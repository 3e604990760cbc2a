"""The study's database: locks, heartbeat, and what is done when it is away."""
