"""Analyses of a model from the command line: what is analysed, one after another, and the page."""
