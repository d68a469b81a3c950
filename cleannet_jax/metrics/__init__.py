"""Evaluation of detections against ground truth: NumPy, no JAX."""
