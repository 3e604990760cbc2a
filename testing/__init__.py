"""The laws that every energy is tested against."""
