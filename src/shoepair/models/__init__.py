"""Networks that score two shoes, and the LightningModules that train them. Knows nothing of where shoes come from."""
