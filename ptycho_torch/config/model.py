"""The settings of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ptycho_torch.config.conditions import one_of
from ptycho_torch.config.fields import Settings, setting

Attention = Literal["none", "cbam", "eca", "spatial"]
Normalisation = Literal["group", "batch"]
_AMPLITUDE_PHASE = one_of("output", "amplitude_phase")
_BY_PIXEL = ("cbam", "spatial")
_UNET = one_of("network", "unet")
_RESIDUAL = one_of("network", "spectral", "transformer")
# what is left to the kind of network
_WIDTHS = {"unet": 24, "spectral": 48, "transformer": 128}
_STAGES = {"unet": 1, "spectral": 2, "transformer": 2}


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Settings):
    """The network that maps a pattern to an object patch."""

    network: Literal["unet", "spectral", "transformer"] = setting(
        "unet",
        help="kind of network: encoder and decoder, spectral and local residual blocks, or a vision transformer",
    )
    width: int | None = setting(
        None,
        at_least=4,
        at_most=1024,
        help="channels of the features, for unet at half resolution, from where they double at each level; "
        f"by default {', '.join(f'{width} for {network}' for network, width in _WIDTHS.items())}",
    )
    depth: int = setting(
        3, at_least=1, at_most=6, acts_when=_UNET, help="levels of resolution, each half of the one above"
    )
    input: Literal["auto", "pattern", "update", "both"] = setting(
        "auto",
        help="what the network sees: the pattern, the solver's update of vacuum by this pattern, or both; "
        "auto: the pattern for unet, the update for the others",
    )
    stages: int | None = setting(
        None,
        at_least=1,
        at_most=16,
        help="networks one after another; each after the first sees the patch so far and the solver's update of it by "
        f"its pattern; by default {', '.join(f'{stages} for {network}' for network, stages in _STAGES.items())}",
    )
    blocks: int = setting(2, at_least=1, at_most=64, acts_when=_RESIDUAL, help="residual blocks of each stage")
    fold_px: int | None = setting(
        None,
        unit="px",
        at_least=1,
        at_most=64,
        acts_when=_RESIDUAL,
        help="side of the squares of pixels that make one feature, or one token of a transformer; "
        "by default 4 for spectral, 8 for transformer",
    )
    spectral_modes: int | None = setting(
        None,
        at_least=1,
        at_most=256,
        acts_when=one_of("network", "spectral"),
        help="highest frequency of spectral convolutions, in periods per image; by default 8, fewer for small images",
    )
    heads: int = setting(
        4, at_least=1, at_most=64, acts_when=one_of("network", "transformer"), help="heads of the attention"
    )
    output: Literal["amplitude_phase", "real_imag"] = setting("amplitude_phase", help="meaning of the two channels")
    amplitude: Literal["softplus", "sigmoid", "silu"] = setting(
        "softplus", acts_when=_AMPLITUDE_PHASE, help="activation of the amplitude"
    )
    phase: Literal["linear", "pi_tanh"] = setting("linear", acts_when=_AMPLITUDE_PHASE, help="activation of the phase")
    field: Literal["whole", "centre"] = setting(
        "whole", help="part of a patch that the network fills; centre leaves vacuum outside the middle half"
    )
    decoders: Literal["shared", "separate"] = setting(
        "shared", acts_when=_UNET, help="one decoder for both channels, or one for each"
    )
    normalisation: Normalisation = setting(
        "group", acts_when=one_of("network", "unet", "spectral"), help="normalisation of features"
    )
    encoder_attention: Attention = setting("none", acts_when=_UNET, help="attention after each level of the encoder")
    bottleneck_attention: Attention = setting("none", acts_when=_UNET, help="attention at the lowest resolution")
    decoder_attention: Attention = setting("none", acts_when=_UNET, help="attention after each level of the decoder")
    attention_kernel_px: Literal[3, 5, 7, 9, 11, 13, 15] = setting(
        7,
        unit="px",
        acts_when=one_of("decoder_attention", *_BY_PIXEL) & _UNET,
        help="side of the convolution of spatial attention in the decoder",
    )

    @property
    def features(self) -> int:
        """The width, or that of the network by default."""
        return self.width or _WIDTHS[self.network]

    @property
    def networks(self) -> int:
        """The stages, or those of the network by default."""
        return self.stages or _STAGES[self.network]

    @property
    def seen(self) -> str:
        """What the network sees: `pattern`, `update` or `both`."""
        usual = "pattern" if self.network == "unet" else "update"
        return usual if self.input == "auto" else self.input
