"""The review page over HTTP: routes, and what is refused."""
