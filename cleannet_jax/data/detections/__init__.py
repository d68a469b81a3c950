"""Files of detections and proposals, one module a format."""
