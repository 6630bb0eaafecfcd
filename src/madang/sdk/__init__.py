"""The Python client of Madang."""
