"""Faults that the integration test must notice: each changes one piece of the package's text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A fault.

    Attributes:
        name: what is wrong.
        file: the file, in the package.
        text: what it contains, once.
        wrong: what replaces it.
    """

    name: str
    file: str
    text: str
    wrong: str


FAULTS = (
    Fault(
        "training climbs the loss",
        "training/module.py",
        "            found.backward(factor)\n",
        "            found.backward(-factor)\n",
    ),
    Fault(
        "the optimiser takes no steps to speak of",
        "training/module.py",
        '                group["lr"] = self._settings.learning_rate * share\n',
        '                group["lr"] = 1e-12 * share\n',
    ),
    Fault(
        "training sees the groups for validation",
        "training/datamodule.py",
        "    rest = np.setdiff1d(np.arange(patterns), validation)\n",
        "    rest = np.arange(patterns)\n",
    ),
    Fault(
        "the checkpoint lacks the state of the optimiser",
        "training/loop.py",
        "trainer.save_checkpoint(folder / LAST_NAME, weights_only=False)",
        "trainer.save_checkpoint(folder / LAST_NAME, weights_only=True)",
    ),
    Fault(
        "weights change when they are loaded",
        "models/checkpoint.py",
        "    generator.load_state_dict(weights, assign=True)\n",
        "    generator.load_state_dict({name: 0.9 * value for name, value in weights.items()}, assign=True)\n",
    ),
    Fault(
        "rows and columns of the positions are exchanged",
        "formats/npz.py",
        "positions=np.stack([rows, columns], axis=1) + shift_px,",
        "positions=np.stack([columns, rows], axis=1) + shift_px,",
    ),
    Fault(
        "patterns are read as their amplitudes",
        "data/conversion.py",
        "            values = np.square(values, dtype=np.float64)\n",
        "            values = np.array(values, dtype=np.float64)\n",
    ),
    Fault(
        "patterns are transposed when they are read",
        "data/conventions.py",
        "    if settings.transpose:\n",
        "    if not settings.transpose:\n",
    ),
    Fault(
        "groups are drawn from far away",
        "training/datamodule.py",
        "    return GroupSplit(rest[make_groups(",
        "    return GroupSplit(rng.permutation(rest)[make_groups(",
    ),
    Fault(
        "offsets have the wrong sign",
        "data/canvas.py",
        "        return self.centres_px - self.centres_px.min(axis=0) + self.margin_px\n",
        "        return self.centres_px.max(axis=0) - self.centres_px + self.margin_px\n",
    ),
    Fault(
        "sub-pixel shifts have the wrong sign",
        "physics/probe.py",
        "    angle = -2 * torch.pi * shift_px",
        "    angle = 2 * torch.pi * shift_px",
    ),
    Fault(
        "the far field is conjugate",
        "physics/propagate.py",
        '    return fft2(exit_wave, norm="ortho")\n',
        '    return ifft2(exit_wave, norm="ortho")\n',
    ),
    Fault(
        "amplitudes of modes add up, not their intensities",
        "physics/propagate.py",
        "    return (waves.real.square() + waves.imag.square()).sum(-3)\n",
        "    return waves.abs().sum(-3)\n",
    ),
    Fault(
        "patches are predicted from the patterns of others",
        "models/predict.py",
        "torch.from_numpy(scan.counts[patterns] * scan.good_pixels)",
        "torch.from_numpy(scan.counts[patterns][::-1].copy() * scan.good_pixels)",
    ),
    Fault(
        "the polish starts from a flat object",
        "workflows/reconstruction.py",
        'solve("network_polish", "network + polish", prediction.canvas)',
        'solve("network_polish", "network + polish", None)',
    ),
    Fault(
        "patches are stitched a pixel apart from where they belong",
        "models/predict.py",
        "            index = index_patches(corners[batch], side, shape[1])\n",
        "            index = index_patches((corners[batch] * 9) // 10, side, shape[1])\n",
    ),
    Fault(
        "stitched patches are not divided by the illumination",
        "physics/merge.py",
        "    return (weighted + faint) / (total + faint)\n",
        "    return (weighted + faint) / (total.max() + faint)\n",
    ),
    Fault(
        "the object is stored with another origin",
        "formats/npz.py",
        '"origin_px": np.array(canvas.origin_px, np.float64),',
        '"origin_px": np.array(canvas.origin_px, np.float64)[::-1] + 1,',
    ),
    Fault(
        "the object is stored conjugate",
        "formats/npz.py",
        '        "object": canvas.pixels,\n',
        '        "object": canvas.pixels.conj(),\n',
    ),
    Fault(
        "the probe is stored mirrored",
        "workflows/outputs.py",
        "        np.save(file, probe)\n",
        "        np.save(file, probe[..., ::-1])\n",
    ),
)
