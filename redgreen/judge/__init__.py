"""From what the witnesses of a pytest process saw to a verdict; nothing here writes a file."""
