"""Our own server of the predictions API."""
