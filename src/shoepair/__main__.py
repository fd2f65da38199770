"""`python -m shoepair` is `shoepair`."""

from shoepair.main import main

if __name__ == "__main__":
    main()
