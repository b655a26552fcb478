"""What each command does: from plain arguments to an exit code, lines for people and values for tools.

Every function raises a `RedgreenError` for what it refuses.
"""
