"""Features from video files."""
