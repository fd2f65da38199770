"""What needs Lightning's Trainer: training, evaluation, what a run says and writes meanwhile."""
