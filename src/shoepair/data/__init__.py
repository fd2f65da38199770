"""From photos or drawings to batches of (left, right, label). Knows nothing of models."""
