"""What a discovery shows: a sentence, pictures, tables, a registry file."""
