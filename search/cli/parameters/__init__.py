"""What the commands take: shared options, how texts become values, and completion in a shell."""
