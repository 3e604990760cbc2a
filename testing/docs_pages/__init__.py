"""The pages of `docs/` made from the registry and the language: `make docs` writes them."""
