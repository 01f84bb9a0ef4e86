"""Fakes with real behaviour, one set for all tests."""
