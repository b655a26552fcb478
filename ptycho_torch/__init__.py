"""Ptychographic reconstruction with physics-informed networks on PyTorch and Lightning."""
