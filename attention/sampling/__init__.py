"""States that are drawn from exp(-E/T), and energies that learn the states they should give."""
