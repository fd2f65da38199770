"""Networks that score two shoes, and the LightningModules that train them. Knows nothing of where shoes come from."""

from shoepair.models.networks import build_network

__all__ = ["build_network"]
