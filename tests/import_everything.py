"""Imports every module of the installed package: `python tests/import_everything.py`, where no extra is installed."""

import importlib
import pkgutil

import shoepair

packages = pkgutil.walk_packages(shoepair.__path__, "shoepair.")
names = [module.name for module in packages if "__main__" not in module.name]
for name in names:
    importlib.import_module(name)
print(f"{len(names)} modules of {shoepair.__path__[0]} were imported")
