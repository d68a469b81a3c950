"""What was found as a folder of pages that a browser opens from disk."""
