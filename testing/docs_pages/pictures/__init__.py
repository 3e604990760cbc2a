"""The pictures of the pages: `python -m attenergy.testing.docs_pages.pictures docs` draws them."""
