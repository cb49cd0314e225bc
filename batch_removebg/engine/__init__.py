"""The network on this machine: weights, runtimes, cutouts."""
