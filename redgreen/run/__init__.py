"""Run a selector and keep what it showed."""
