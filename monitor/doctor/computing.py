"""The doctor's checks of computing: the device that predicts, and the cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from monitor.doctor.examination import Finding, State
from monitor.errors import MonitorError
from monitor.progress import readable_bytes
from monitor.workspace import Workspace

#: run with the folders of the models; with an exported program a worker without GPU starts within seconds
_DEVICES = """
import json, pathlib, sys, torch
from segmenter.manifest import read_manifest
from segmenter.program import kept_program

def kept(folder):
    return kept_program(read_manifest(folder)) is not None

cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
print(json.dumps({
    "torch": torch.__version__,
    "cards": [[card.name, card.total_memory] for card in cards],
    "no_program": [] if cards else [folder for folder in sys.argv[1:] if not kept(pathlib.Path(folder))],
}))
"""


def device(workspace: Workspace) -> Finding:
    """The device that this machine predicts with, found in a separate process, which imports torch."""
    from dask.system import CPU_COUNT

    command = [sys.executable, "-c", _DEVICES, *_networks(workspace)]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode:
        said = asked.stderr.strip().splitlines()[-1:]
        return Finding("device", State.PROBLEM, f"torch cannot be loaded: {' '.join(said)}", "install torch")
    answer = json.loads(asked.stdout.splitlines()[-1])
    version = f"torch {answer['torch']}"
    if cards := [f"{name}, {readable_bytes(memory)}" for name, memory in answer["cards"]]:
        if workspace.settings.cluster.gpus or len(cards) == 1:
            return Finding("device", State.OK, f"{'; '.join(cards)} ({version})")
        first = f"{cards[0]}, the first of {len(cards)} ({version}); `cluster: {{gpus: true}}` uses all"
        return Finding("device", State.OK, first)
    found = f"no GPU: predictions run on {CPU_COUNT} cores ({version})"
    if lacking := answer["no_program"]:
        found += f"; the next start takes longer because it exports the network of {' and '.join(lacking)}"
    return Finding("device", State.OK, found)


def _networks(workspace: Workspace) -> list[str]:
    """Folders of the models with weights; models that cannot be read are reported by the model's check."""
    from segmenter.errors import SegmenterError

    try:
        return (
            []
            if workspace.manifest.method == "index"
            else [str(folder) for folder in workspace.model_folders]
        )
    except (MonitorError, SegmenterError):
        return []


def cluster(workspace: Workspace) -> Finding:
    """Check that the GPUs or the scheduler named in the settings are available."""
    settings = workspace.settings.cluster
    if settings.gpus:
        from monitor.compute.cluster import gpu_cluster_class

        gpu_cluster_class()  # raises if there is none
        found = f"one worker per GPU of this machine, each reading {settings.threads} tiles at a time"
        return Finding("cluster", State.OK, found)
    if settings.address is None:
        return Finding("cluster", State.OK, f"{settings.threads} threads of this machine")
    import distributed

    connect: Any = distributed.Client  # carries no types
    try:
        with connect(settings.address, timeout="10s") as client:
            workers = client.scheduler_info(n_workers=-1)["workers"]
    except (OSError, TimeoutError, ValueError) as error:
        return Finding(
            "cluster",
            State.PROBLEM,
            f"no Dask scheduler answers at {settings.address}: {error}",
            "start one (`dask scheduler`), or leave cluster.address out to use this machine",
        )
    threads = sum(worker["nthreads"] for worker in workers.values())
    found = f"{settings.address}: {len(workers)} workers, {threads} threads"
    return Finding("cluster", State.OK if workers else State.WARNING, found, "start workers (`dask worker`)")
