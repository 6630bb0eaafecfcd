"""The command line, one file a noun, over the SDK only."""
