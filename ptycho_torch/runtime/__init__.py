"""Where and how a computation runs: device, threads, progress, logs, records of runs, tracking."""
