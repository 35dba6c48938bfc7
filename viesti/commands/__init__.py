"""The command line's families, one file each; ``viesti.cli`` puts them together."""
