"""Pages for people who have photos and a question: a small server for this machine's browser."""
