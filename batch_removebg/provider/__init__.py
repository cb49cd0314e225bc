"""Providers of cutouts over HTTP, and the wrappers that make them safe to pay for."""
