"""The runtimes that compute a network, one module for each, and the choice between them."""
