"""What `srun` does, on one machine: starts each task of a job with the variables that SLURM documents, and ends all
when one fails (--kill-on-bad-exit=1) or when it is itself asked to end. It refuses options that srun does not have.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kill-on-bad-exit", type=int, required=True)
    parser.add_argument("--cpus-per-task", type=int, required=True)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    command = parser.parse_args().command
    nodes, on_each = int(os.environ["SLURM_JOB_NUM_NODES"]), int(os.environ["SLURM_NTASKS_PER_NODE"])
    tasks = []

    def end(*_: object) -> None:
        for task in tasks:
            if task.poll() is None:
                task.terminate()

    signal.signal(signal.SIGTERM, end)
    for rank in range(nodes * on_each):
        node, local = divmod(rank, on_each)
        own = {"PROCID": rank, "LOCALID": local, "NODEID": node, "STEP_ID": 0, "STEP_NUM_TASKS": nodes * on_each}
        own |= {"STEP_NUM_NODES": nodes, "STEP_NODELIST": os.environ["SLURM_JOB_NODELIST"], "TASK_PID": os.getpid()}
        variables = {f"SLURM_{name}": str(value) for name, value in own.items()} | {"SLURMD_NODENAME": f"node{node}"}
        tasks.append(subprocess.Popen(command, env=os.environ | variables))
    worst = 0
    running = list(tasks)
    while running:
        for task in list(running):
            try:
                status = task.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            running.remove(task)
            if status:
                worst = max(worst, status if status > 0 else 128 - status)
                end()
    return worst


if __name__ == "__main__":
    sys.exit(main())
