"""Trained models and the client's products as files."""
