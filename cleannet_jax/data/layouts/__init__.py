"""One reader for each layout of features that the field has published."""
