"""Whether a reconstruction is good: figures of merit as pure functions, and pictures."""
