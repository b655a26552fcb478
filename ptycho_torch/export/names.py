"""The files of an export."""

from __future__ import annotations

from ptycho_torch.models import archive

MANIFEST_NAME = "manifest.json"
BUNDLE_NAME = archive.BUNDLE_NAME
CHECKPOINT_NAME = "network.ckpt"
SAFETENSORS_NAME = "network.safetensors"
PROGRAM_NAME = "network.pt2"
EXAMPLE_NAME = "test_tensors.npz"
CARD_NAME = "model_card.json"
CARD_TEXT_NAME = "model_card.md"

# the manifest lists these, no more and no fewer
FILES = (
    CHECKPOINT_NAME,
    BUNDLE_NAME,
    SAFETENSORS_NAME,
    PROGRAM_NAME,
    EXAMPLE_NAME,
    CARD_NAME,
    CARD_TEXT_NAME,
)
