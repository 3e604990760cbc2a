"""Where the states of trained heads come to rest, and what lies around these points."""
