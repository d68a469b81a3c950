"""The kinds of files that features are stored in, a module each."""
