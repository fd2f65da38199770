"""shoepair: do these two shoes belong together? Importing it is cheap; torch is imported where it is used."""

from importlib.metadata import version

__version__ = version("shoepair")
