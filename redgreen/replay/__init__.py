"""Replay of a change: its tests on its product before and after it, in clean clones."""
