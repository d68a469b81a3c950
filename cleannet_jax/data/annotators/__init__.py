"""Annotation tools: instances out to be corrected by a person, and back."""
