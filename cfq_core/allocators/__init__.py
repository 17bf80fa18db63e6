"""Allocators: who gets the bits."""
