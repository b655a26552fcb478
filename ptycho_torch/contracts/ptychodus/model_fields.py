"""The client's 33 fields of the model: the network and what it is trained for."""

from __future__ import annotations

from functools import partial

from ptycho_torch.contracts.ptychodus.field import CANVAS, ClientField

_model = partial(ClientField, "model")

MODEL_FIELDS: tuple[ClientField, ...] = (
    _model(
        "mode",
        "(the reconstructor's name)",
        "honoured",
        "Unsupervised learns from the patterns alone, Supervised from patches cut out of objectGuess",
    ),
    _model("object_big", "object_big", "honoured", "off: every patch is fitted by itself, overlaps are not merged"),
    _model("probe_big", "probe_big", "honoured", "off: a patch is empty space outside of the middle half of its field"),
    _model(
        "loss_function",
        "loss_function",
        "honoured",
        "Poisson or MAE (of amplitudes); MAE also where use_negative_log_likelihood_loss is off",
        example="MAE",
    ),
    _model(
        "amp_activation",
        "amplitude_activation_function",
        "honoured",
        "silu or sigmoid, shifted so that an untrained network shows empty space; also swish and softplus",
        example="sigmoid",
    ),
    _model("cbam_encoder", "cbam_encoder", "honoured", "channel and spatial attention after each encoder level"),
    _model("cbam_bottleneck", "cbam_bottleneck", "honoured", "channel and spatial attention at the lowest level"),
    _model("cbam_decoder", "cbam_decoder", "honoured", "channel and spatial attention after each decoder level"),
    _model(
        "eca_encoder",
        "eca_encoder",
        "honoured",
        "efficient channel attention after each encoder level; instead of CBAM, not beside it",
        beside=(("model__cbam_encoder", False),),
    ),
    _model(
        "eca_decoder", "eca_decoder", "honoured", "efficient channel attention after each decoder level; one kind only"
    ),
    _model(
        "spatial_decoder", "spatial_decoder", "honoured", "spatial attention after each decoder level; one kind only"
    ),
    _model(
        "decoder_spatial_kernel",
        "decoder_spatial_kernel",
        "honoured",
        "side of the spatial attention's kernel in the decoder, odd",
        example=9,
        beside=(("model__spatial_decoder", True),),
    ),
    _model("use_shared_decoder", "use_shared_decoder", "honoured", "on: amplitude and phase share one decoder"),
    _model(
        "decoder_last_amp_channels",
        "(the number of channels)",
        "warned",
        "each pattern has its own patch, whatever the size of its group",
    ),
    _model(
        "decoder_last_c_outer_fraction",
        "decoder_last_c_outer_fraction",
        "warned",
        "the decoder has no outer part of its own: all of its channels see the whole field",
    ),
    _model("n_filters_scale", "num_filters_scale", "honoured", "twelve channels at half resolution for each unit"),
    _model(
        "batch_norm",
        "use_batch_normalization",
        "honoured",
        "batch normalisation instead of normalised groups of channels",
    ),
    _model("edge_pad", "edge_pad", "warned", f"no patch is padded: {CANVAS}"),
    _model(
        "intensity_scale_trainable",
        "intensity_scale_trainable",
        "warned",
        "the overall intensity is solved in closed form from the measured photons, nothing is left to train",
    ),
    _model(
        "intensity_scale", "intensity_scale", "warned", "the overall scale is taken from the measured photons instead"
    ),
    _model("max_position_jitter", "max_position_jitter", "warned", f"nothing is reserved for it: {CANVAS}"),
    _model("num_datasets", "num_datasets", "warned", "as many scans as the folder holds files"),
    _model("C_model", "(the number of channels)", "warned", "a group has as many patterns as the data's channels say"),
    _model(
        "C_forward", "(the number of channels)", "warned", "a group has as many patterns as the data's channels say"
    ),
    _model("offset", "offset", "warned", "groups follow from the measured positions, no regular lattice is assumed"),
    _model(
        "probe_mask",
        "(always empty)",
        "refused",
        "the probe is refined from the patterns, and a mask would not hold",
        example=((True, False), (False, True)),
    ),
    _model(
        "amp_loss",
        "auxiliary_amplitude_loss",
        "honoured",
        "Total_Variation or Mean_Deviation of the patches' amplitude is added to the loss",
        example="Total_Variation",
    ),
    _model(
        "phase_loss",
        "auxiliary_phase_loss",
        "honoured",
        "Total_Variation or Mean_Deviation of the patches' phase is added to the loss",
        example="Mean_Deviation",
    ),
    _model(
        "amp_loss_coeff",
        "auxiliary_amplitude_loss_coeff",
        "honoured",
        "weight of the auxiliary amplitude loss",
        beside=(("model__amp_loss", "Total_Variation"),),
    ),
    _model(
        "phase_loss_coeff",
        "auxiliary_phase_loss_coeff",
        "honoured",
        "weight of the auxiliary phase loss",
        beside=(("model__phase_loss", "Total_Variation"),),
    ),
    _model(
        "probe_reference_coeff",
        "probe_reference_loss_coeff",
        "refused",
        "the probe is not a part of the network: it is refined before training and again after it",
    ),
    _model(
        "amplitude_variance_loss",
        "amplitude_variance_loss",
        "honoured",
        "the variance of the patches' amplitude is added to the loss",
    ),
    _model(
        "amplitude_variance_coeff",
        "amplitude_variance_coeff",
        "honoured",
        "weight of the amplitude variance loss",
        beside=(("model__amplitude_variance_loss", True),),
    ),
)
