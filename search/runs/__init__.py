"""What one training run is: plain data, and what it leaves on disk."""
