"""Runs that are resumed, and the folder of a reconstruction: its record, its result, what to say of an interruption."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptycho_torch.cli.command import Command
from ptycho_torch.cli.shared import print_results, start_record
from ptycho_torch.config import TrainerSettings
from ptycho_torch.config.fields import Settings
from ptycho_torch.runtime.messages import make_line

if TYPE_CHECKING:
    from ptycho_torch.runtime.saved_state import Saving
    from ptycho_torch.workflows.reconstruction import Reconstruction
    from ptycho_torch.workflows.refinement import Refinement

# sections on which a trained network depends
TRAINED_BY = ("data", "model", "training")


def train_step(command: Command, options: dict[str, Any], network: Path, settings: Mapping[str, Settings]) -> None:
    """Train into a folder as a step of another command; what an earlier call of the step has done is not repeated."""
    from ptycho_torch.runtime.run_record import read_results

    if read_results(network):
        return
    options |= {"output_dir": str(network), "resume": (network / "checkpoints" / "last.ckpt").exists()}
    command.call({**options, "overwrite": not options["resume"] and network.exists()}, settings)


def is_finished(
    arguments: argparse.Namespace, settings: Mapping[str, Any], inputs: list[Path], fixed: Collection[str] = ()
) -> bool:
    """Whether a run that is to be resumed has finished, which is then said; see `find_end`.

    Raises:
        ConfigError: it had other settings or inputs.
        OutputError: the folder contains a run of another command.
    """
    from ptycho_torch.runtime.run_record import find_end

    if not arguments.resume or find_end(arguments.output_dir, arguments.command, settings, inputs, fixed) is None:
        return False
    print(f"{arguments.output_dir}: the run has finished; there is nothing to resume")
    return True


def record_result(
    arguments: argparse.Namespace,
    settings: Mapping[str, Settings],
    trainer: TrainerSettings,
    inputs: list[Path],
    description: Mapping[str, object],
    reconstruct: Callable[[Saving], Reconstruction | Refinement],
) -> int:
    """Reconstruct, write the result and the record of the run, and print metrics and verdict.

    Of several processes only the first one writes and prints. A run that a signal ends leaves the best that it has
    found, and its state, from which it can be resumed.

    Args:
        arguments: the parsed options.
        settings: settings by section, for the record.
        trainer: which processes take part.
        inputs: files that were read, other than those of the scan.
        description: what a saved state must have in common with this run.
        reconstruct: called with where to save when the output folder is ready.

    Returns:
        The exit code: 3 if the reconstruction failed, 130 or 143 if a signal ended it, otherwise 0.
    """
    from ptycho_torch.formats import list_scan_files
    from ptycho_torch.runtime.device import find_rank_device
    from ptycho_torch.runtime.interrupts import Interrupted, find_exit_code
    from ptycho_torch.runtime.ranks import find_ranks
    from ptycho_torch.runtime.run_record import find_end
    from ptycho_torch.runtime.saved_state import Saving, check_state
    from ptycho_torch.storage.locking import lock_folder
    from ptycho_torch.workflows.outputs import write_result
    from ptycho_torch.workflows.refinement import Refinement

    folder: Path = arguments.output_dir
    saving = Saving(folder, arguments.resume, arguments.live)
    ranks = find_ranks(trainer)
    find_rank_device(arguments.device, trainer, ranks)  # before a folder is made
    stored = {name: section.to_dict() for name, section in settings.items()}
    files_read = [*inputs, *list_scan_files(arguments.data)]
    if not ranks.is_first:
        # the first process computes nothing if the run has finished: this one would wait for it
        if arguments.resume and find_end(folder, arguments.command, stored, files_read):
            return find_recorded_code(folder)
        return _find_exit_code(reconstruct(saving))
    with lock_folder(folder):
        if is_finished(arguments, stored, files_read):
            return find_recorded_code(folder)
        if arguments.resume:
            check_state(saving, description)
        record = start_record(arguments, {**stored, "trainer": trainer.to_dict()}, files_read)
        try:
            result = reconstruct(saving)
        except Interrupted as interruption:
            record.finish(status="interrupted")
            _explain_interruption(arguments, "nothing was found yet")
            return find_exit_code(interruption.signal_name)
        files = write_result(result, folder)
        status = "interrupted" if result.interrupted else "finished"
        record.finish(status=status, results=result.metrics, outputs=files, verdict=result.verdict.word)
        if status == "finished":
            saving.path.unlink(missing_ok=True)
    figures = {"refined": result.metrics} if isinstance(result, Refinement) else result.metrics
    print_results(folder, files, figures)
    for remark in (*result.solution.corrections, *result.solution.remarks):
        print(f"remark: {remark}")
    print(f"verdict: {result.verdict}")
    if result.verdict.word != "good":
        print(
            f"next: ptycho-torch doctor {make_line(shlex.quote(str(arguments.data)))} tells what may be wrong with it"
        )
    if result.interrupted:
        _explain_interruption(arguments, "the result is the best that was found so far")
    return _find_exit_code(result)


def find_recorded_code(folder: Path) -> int:
    """The exit code of a reconstruction that has finished, from its record."""
    from ptycho_torch.runtime.run_record import read_record

    return 3 if read_record(folder).get("verdict") == "failed" else 0


def _find_exit_code(result: Reconstruction | Refinement) -> int:
    from ptycho_torch.runtime.interrupts import find_exit_code

    if result.interrupted:
        return find_exit_code(result.interrupted)
    return 3 if result.verdict.word == "failed" else 0


def _explain_interruption(arguments: argparse.Namespace, found: str) -> None:
    print(f"ptycho-torch {arguments.command}: interrupted; {found}; --resume goes on", file=sys.stderr)
