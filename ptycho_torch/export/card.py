"""Model cards: what a network is, what it learnt from, how well, and with which versions; for programs and people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from ptycho_torch.models.checkpoint import TrainedNetwork
from ptycho_torch.runtime.run_record import find_versions

CARD_VERSION = 1
_METRICS = ("validation_loss", "steps", "patterns_per_second", "seconds", "overfitted", "out_of_time")


def make_card(
    trained: TrainedNetwork,
    record: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Describe a network by plain values.

    Files are named without their folders; neither machine nor user is described.

    Args:
        trained: the network.
        record: the record of its training run, if it is at hand.
        metrics: further figures of merit, by name.
    """
    record = record or {}
    settings = trained.experiment.without_places()
    results = record.get("results")
    known = {name: results[name] for name in _METRICS if name in results} if isinstance(results, dict) else {}
    return {
        "version": CARD_VERSION,
        "network": {
            "settings": settings.model.to_dict(),
            "weights": sum(math.prod(value.shape) for value in trained.generator.state_dict().values()),
            "patch_px": trained.patch_px,
        },
        "data": {
            "files": _describe_files(record.get("inputs", ())),
            "scans": _describe_scans(trained),
        },
        "training": {
            "seed": settings.training.seed,
            "steps": trained.steps,
            "settings": settings.training.to_dict(),
            "finished": record.get("finished"),
        },
        "metrics": known | dict(metrics or {}),
        "versions": {
            "trained_with": _pick(record, "versions"),
            "exported_with": find_versions(),
        },
    }


def _pick(record: Mapping[str, Any], name: str) -> dict[str, str]:
    found = record.get(name)
    python = {"python": str(record["python"])} if "python" in record else {}
    return python | {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _describe_files(inputs: object) -> list[dict[str, str]]:
    entries = [entry for entry in inputs if isinstance(entry, dict)] if isinstance(inputs, Iterable) else []
    return [
        {"name": PurePath(str(entry.get("path", ""))).name, "sha256": str(entry.get("sha256", ""))} for entry in entries
    ]


def _describe_scans(trained: TrainedNetwork) -> list[dict[str, Any]]:
    return [
        {
            "photons_per_pattern": round(photons, 3),
            "probe_modes": int((abs(probe) ** 2).sum(axis=(1, 2)).astype(bool).sum()),
            "bad_pixels": int((~good).sum()),
        }
        for probe, photons, good in zip(trained.probes, trained.photons, trained.good, strict=True)
    ]


def write_text(card: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    network, training = card["network"], card["training"]
    kind = f"{network['settings']['network']}, {network['weights']:,} weights"
    lines = [
        "# Model card",
        "",
        f"A {kind}, which turns diffraction patterns of {network['patch_px']} × {network['patch_px']} px "
        "into complex patches of the object.",
        "",
        "## Use",
        "",
        "`ptycho-torch infer --checkpoint network.ckpt --data SCAN` reconstructs a scan. `manifest.json` has the "
        "checksum of every file; `ptycho-torch export FOLDER --check` compares them. Scans whose probe, dose or pixel "
        "size are far from those below need another network.",
        "",
        "## Data",
        "",
        *_make_table(("file", "SHA-256"), [(entry["name"], entry["sha256"]) for entry in card["data"]["files"]]),
        *_make_table(
            ("scan", "photons per pattern", "probe modes", "bad pixels"),
            [
                (number, f"{scan['photons_per_pattern']:.4g}", scan["probe_modes"], scan["bad_pixels"])
                for number, scan in enumerate(card["data"]["scans"])
            ],
        ),
        "## Training",
        "",
        *_make_table(
            ("setting", "value"), [("seed", training["seed"]), ("steps", training["steps"]), *_changed(training)]
        ),
        "## Metrics",
        "",
        *_make_table(("figure", "value"), [(name, _show(value)) for name, value in card["metrics"].items()]),
        "## Versions",
        "",
        *_make_table(
            ("package", "trained with", "exported with"),
            [
                (name, card["versions"]["trained_with"].get(name, "unknown"), version)
                for name, version in card["versions"]["exported_with"].items()
            ],
        ),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _changed(training: Mapping[str, Any]) -> list[tuple[str, object]]:
    shown = ("target", "loss", "batch_size", "group_size", "learning_rate", "schedule", "augment")
    return [(name, _show(training["settings"][name])) for name in shown if name in training["settings"]]


def _show(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _make_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    if not rows:
        return ["Not recorded.", ""]
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(_escape(str(cell)) for cell in line) + " |" for line in lines] + [""]


def _escape(text: str) -> str:
    """File names may contain anything."""
    return "".join(character if character.isprintable() else " " for character in text).replace("|", "\\|")
