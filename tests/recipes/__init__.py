"""The recipes of the documentation, with the programs that they are about."""
