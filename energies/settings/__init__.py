"""What is given to an energy: its numbers, and keywords that nothing takes."""
