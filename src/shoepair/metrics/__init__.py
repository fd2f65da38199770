"""From logits to figures, with numpy alone."""
