"""Downloads, within limits."""
