"""Requests and answers of the page as values. Pure."""
