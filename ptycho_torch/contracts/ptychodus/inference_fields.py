"""The client's 6 fields of inference: how a scan is reconstructed."""

from __future__ import annotations

from functools import partial

from ptycho_torch.contracts.ptychodus.field import CANVAS, ClientField

_inference = partial(ClientField, "inference")

INFERENCE_FIELDS: tuple[ClientField, ...] = (
    _inference(
        "batch_size", "batch_size", "honoured", "patterns that the network sees at once, as far as memory is bounded"
    ),
    _inference("middle_trim", "middle_trim", "warned", "patches are weighted by the light that they had, not trimmed"),
    _inference(
        "experiment_number", "experiment_number", "warned", "the scan that is reconstructed brings its own probe"
    ),
    _inference(
        "patch_weighting",
        "patch_weighting_method",
        "honoured",
        "probe: overlapping patches count by their light; uniform: alike wherever they had any",
        example="uniform",
    ),
    _inference("pad_eval", "pad_eval", "warned", f"nothing is padded: {CANVAS}"),
    _inference("window", "window", "warned", f"nothing is cut off: {CANVAS}"),
)
