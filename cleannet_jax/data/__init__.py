"""The outside world: annotations, features, the generated sample, the pipeline."""
