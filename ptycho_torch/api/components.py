"""Re-export of the workflow entry points; specs/ptychodus_api_spec.md describes them."""

from ptycho_torch.contracts.legacy.workflows import load_inference_bundle_torch as load_inference_bundle_torch
from ptycho_torch.contracts.legacy.workflows import run_cdi_example_torch as run_cdi_example_torch
from ptycho_torch.contracts.legacy.workflows import train_cdi_model_torch as train_cdi_model_torch
