"""The client's 34 fields of training: how long, how fast and where."""

from __future__ import annotations

from functools import partial

from ptycho_torch.contracts.ptychodus.field import ClientField

_STAGED = "acts only with staged fine-tuning, which is refused"
_STAGES = (
    "finetune_stage1_epochs",
    "finetune_stage2_epochs",
    "finetune_stage3_epochs",
    "finetune_stage1_lr_decoder",
    "finetune_stage2_lr_encoder_top",
    "finetune_stage2_lr_decoder",
    "finetune_stage2_lr_phase_head",
    "finetune_stage3_lr_encoder_bottom",
    "finetune_stage3_lr_encoder_top",
    "finetune_stage3_lr_decoder",
    "finetune_stage3_lr_phase_head",
    "finetune_skip_stage3",
    "finetune_early_stop_patience",
)

_training = partial(ClientField, "training")

TRAINING_FIELDS: tuple[ClientField, ...] = (
    _training("epochs", "epochs", "honoured", "passes over the patterns, each of which is seen once on average"),
    _training("batch_size", "batch_size", "honoured", "groups in a step"),
    _training("learning_rate", "learning_rate", "honoured", "highest step size of AdamW"),
    _training(
        "n_devices",
        "n_devices",
        "warned",
        "one device trains, in the client's own child process",
    ),
    _training(
        "num_workers",
        "num_dataloader_workers",
        "warned",
        "patterns are looked up in memory, workers would only copy them",
    ),
    _training("accum_steps", "gradient_accumulation_steps", "honoured", "batches whose gradients make one step"),
    _training("epochs_fine_tune", "epochs_finetune", "honoured", "epochs after the others, at a smaller step size"),
    _training(
        "fine_tune_gamma",
        "finetune_gamma",
        "honoured",
        "share of the step size that fine-tuning uses",
        beside=(("training__epochs_fine_tune", 2),),
    ),
    _training(
        "gradient_clip_val", "gradient_clip_val", "honoured", "highest norm of the gradient; 0 for none", example=2.0
    ),
    _training(
        "nll",
        "use_negative_log_likelihood_loss",
        "honoured",
        "off: mean absolute error of amplitudes instead of Poisson",
    ),
    _training(
        "device",
        "device",
        "honoured",
        "cuda or cpu; cuda trains on the CPU, with a warning, where there is no GPU",
    ),
    _training(
        "strategy",
        "distributed_strategy",
        "warned",
        "one device trains in the client's own process, so that there is nothing to distribute",
        example="auto",
    ),
    _training("framework", "(always Lightning)", "refused", "Lightning is the only one", example="Default"),
    _training("orchestrator", "(always Lightning)", "refused", "Lightning is the only one", example="Mlflow"),
    _training(
        "scheduler",
        "learning_rate_scheduler",
        "honoured",
        "Default keeps the step size, Exponential and Cosine lower it to the least ratio at the last step",
        example="Cosine",
    ),
    _training("warmup_epochs", "learning_rate_warmup_epochs", "honoured", "epochs over which the step size rises"),
    _training(
        "min_lr_ratio",
        "minimum_learning_rate_ratio",
        "honoured",
        "share of the step size that Exponential and Cosine end with",
        example=0.2,
        beside=(("training__scheduler", "Cosine"),),
    ),
    _training("notes", "notes", "honoured", "kept in the run folder's training_config.json and in the checkpoint"),
    _training(
        "model_name", "model_name", "honoured", "kept in the run folder's training_config.json and in the checkpoint"
    ),
    _training(
        "enable_staged_finetuning",
        "enable_staged_finetuning",
        "refused",
        "the network has no separate phase head to release in stages; epochs_finetune lowers the step size instead",
    ),
    *(_training(name, name, "warned", _STAGED) for name in _STAGES),
    _training(
        "finetune_val_split",
        "finetune_val_split",
        "honoured",
        "share of the groups that training does not see and that choose the best checkpoint, up to one half",
        example=0.2,
    ),
)
