"""The Hydra configuration of shoepair; installed as the package ``shoepair.conf``."""
