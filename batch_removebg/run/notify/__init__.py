"""Telling people and services how a run went."""
