"""What training took is measured: a peak that is over by the end is still in it."""

import mmap

import numpy as np
import pytest
import torch

from model.planning import device


@pytest.mark.skipif(not device.Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_a_peak_is_seen_after_it_is_over():
    cpu = torch.device("cpu")
    device.reset_memory_peak(cpu)
    before = device.memory_used(cpu)
    pages = mmap.mmap(-1, 64 << 20)  # fresh ones: `np.ones` may get what a training has freed
    np.frombuffer(pages, np.uint8)[...] = 1
    pages.close()
    assert device.memory_peak(cpu) - before > 32 << 20
    device.reset_memory_peak(cpu)
    assert device.memory_peak(cpu) - device.memory_used(cpu) < 16 << 20
