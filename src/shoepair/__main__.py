"""`python -m shoepair` is `shoepair`."""

from shoepair.launch.hydra_app import main

if __name__ == "__main__":
    main()
