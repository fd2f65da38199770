"""`python -m shoepair` is `shoepair`."""

from shoepair.cli import main

if __name__ == "__main__":
    main()
