"""The race of the best against softmax, the registry's best and the best random formula."""
