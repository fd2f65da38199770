"""What a run leaves behind in its folder, and how it is found and compared. Needs no torch."""
