"""What benchmarks of searches share."""
