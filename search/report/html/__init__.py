"""One self-contained HTML page about a study: tables, pictures, formulas, how to repeat it."""
