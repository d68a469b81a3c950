"""What was found, for people: text, CSV and LaTeX."""
