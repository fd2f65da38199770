"""`python -m shoepair` is `shoepair`."""

from shoepair.cli import program

if __name__ == "__main__":
    program()
