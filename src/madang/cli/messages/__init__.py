"""Catalogues of the command line's messages, one module a language."""
