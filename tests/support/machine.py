"""A machine as a test states it, whatever the one that the test runs on offers."""

from trainables.machine import Machine


class StatedMachine(Machine):
    """So many cores and GPUs, with or without bfloat16 in hardware (on every kind of device)."""

    def __init__(self, *, cores=2, gpus=0, bf16=False):
        self.cores = cores
        self.gpus = gpus
        self._bf16 = bf16

    def multiplies_bf16(self, device):
        return self._bf16
