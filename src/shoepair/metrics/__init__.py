"""From logits to figures, with numpy alone: nothing here needs torch."""
