"""Restoration of sounds."""

__all__ = []
