"""What may be typed, and what is said of what may not. Needs no torch."""
