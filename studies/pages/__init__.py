"""Pages of results and their pictures, one module for each; `studies/figures.py` makes them all."""
