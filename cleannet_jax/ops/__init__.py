"""Pure functions of arrays: the evaluator, anchors, pooling, losses, suppression."""
