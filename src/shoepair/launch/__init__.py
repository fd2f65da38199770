"""From what was typed to jobs in their folders. The only room that knows Hydra."""
