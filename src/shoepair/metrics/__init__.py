"""From logits to metrics, with numpy alone: nothing here needs torch."""
