"""Features from video: the networks' weights, and what they make of frames."""
