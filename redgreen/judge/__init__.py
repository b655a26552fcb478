"""From what was recorded about a pytest process to a verdict; nothing here writes a file."""
