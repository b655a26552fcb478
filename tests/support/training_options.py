"""Options of a training that takes a second, for tests of how trainings end."""

from __future__ import annotations

SHORT = (
    "--device=cpu",
    "--quiet",
    "--width=4",
    "--depth=1",
    "--group_size=4",
    "--batch_size=2",
    "--bootstrap_epochs=0",
    "--patience=1000",
    # the same steps whatever their number
    "--schedule=constant",
)
