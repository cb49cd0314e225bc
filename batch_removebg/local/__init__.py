"""The embedded engine: weights, inference, and the predictions API on one's own machine; needs the extra `local`."""
