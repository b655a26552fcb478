"""The client's configuration: five plain classes with the field names that Ptychodus sends.

They are mutable, since the client reassigns fields, picklable, since it sends them to a child process, and unchecked,
since the client's vocabulary is not the schema of this package: `translate` says what each field does here, and what
is refused. Defaults are what Ptychodus 1.7.0 sends when nothing was changed. Importing this costs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_CHANNELS = 4


@dataclass
class DataConfig:
    """How patterns are read, grouped and normalised."""

    N: int = 128
    C: int = _CHANNELS
    K: int = 6
    K_quadrant: int = 30
    n_subsample: int = 7
    grid_size: tuple[int, int] = (2, 2)
    neighbor_function: str = "Nearest"
    min_neighbor_distance: float = 0.0
    max_neighbor_distance: float = 3.0
    scan_pattern: str = "Isotropic"
    normalize: str = "Batch"
    probe_scale: float = 4.0
    probe_normalize: bool = True
    probe_ramp_removal: bool = False
    data_scaling: str = "Parseval"
    phase_subtraction: bool = True
    x_bounds: tuple[float, float] = (0.1, 0.9)
    y_bounds: tuple[float, float] = (0.1, 0.9)
    # not sent by Ptychodus; the configuration bridge reads them
    nphotons: float = 1e5
    subsample_seed: int | None = None


@dataclass
class ModelConfig:
    """What the network looks like and what it is trained for."""

    mode: str = "Unsupervised"
    object_big: bool = True
    probe_big: bool = True
    loss_function: str = "Poisson"
    amp_activation: str = "silu"
    cbam_encoder: bool = True
    cbam_bottleneck: bool = False
    cbam_decoder: bool = False
    eca_encoder: bool = False
    eca_decoder: bool = False
    spatial_decoder: bool = False
    decoder_spatial_kernel: int = 7
    use_shared_decoder: bool = False
    decoder_last_amp_channels: int = _CHANNELS
    decoder_last_c_outer_fraction: float = 0.125
    n_filters_scale: int = 2
    batch_norm: bool = False
    edge_pad: int = 10
    intensity_scale_trainable: bool = False
    intensity_scale: float = 10000.0
    max_position_jitter: int = 10
    num_datasets: int = 1
    C_model: int = _CHANNELS
    C_forward: int = _CHANNELS
    offset: int = 6
    probe_mask: Any = None
    amp_loss: str | None = None
    phase_loss: str | None = None
    amp_loss_coeff: float = 1.0
    phase_loss_coeff: float = 1.0
    probe_reference_coeff: float = 0.0
    amplitude_variance_loss: bool = False
    amplitude_variance_coeff: float = 0.01


@dataclass
class TrainingConfig:
    """How long, how fast and where the network is trained."""

    epochs: int = 50
    batch_size: int = 16
    learning_rate: float = 1e-3
    n_devices: int = 1
    num_workers: int = 4
    accum_steps: int = 1
    epochs_fine_tune: int = 0
    fine_tune_gamma: float = 0.1
    gradient_clip_val: float | None = None
    nll: bool = True
    device: str = "cuda"
    strategy: str = "ddp_spawn"
    framework: str = "Lightning"
    orchestrator: str = "Lightning"
    scheduler: str = "Default"
    warmup_epochs: int = 0
    min_lr_ratio: float = 0.1
    notes: str = ""
    model_name: str = "PtychoPINNv2"
    enable_staged_finetuning: bool = False
    finetune_stage1_epochs: int = 7
    finetune_stage2_epochs: int = 7
    finetune_stage3_epochs: int = 5
    finetune_stage1_lr_decoder: float = 0.1
    finetune_stage2_lr_encoder_top: float = 0.01
    finetune_stage2_lr_decoder: float = 0.05
    finetune_stage2_lr_phase_head: float = 0.1
    finetune_stage3_lr_encoder_bottom: float = 0.005
    finetune_stage3_lr_encoder_top: float = 0.01
    finetune_stage3_lr_decoder: float = 0.02
    finetune_stage3_lr_phase_head: float = 0.05
    finetune_skip_stage3: bool = True
    finetune_early_stop_patience: int = 3
    finetune_val_split: float = 0.05
    # not sent by Ptychodus; the configuration bridge reads them
    output_dir: str | None = None


@dataclass
class InferenceConfig:
    """How a scan is reconstructed."""

    batch_size: int = 1000
    middle_trim: int = 32
    experiment_number: int = 0
    patch_weighting: str = "probe"
    pad_eval: bool = True
    window: int = 20


@dataclass
class DatagenConfig:
    """Data generation; Ptychodus makes one without arguments and nothing reads it."""
