"""The renderer: drawn shoes that depend on seed, person, pair, side and hardness only."""
