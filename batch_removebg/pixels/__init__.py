"""Decode, compose, encode: pure functions from bytes and arrays to bytes and arrays."""
