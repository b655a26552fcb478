"""The physics solver: no network."""
