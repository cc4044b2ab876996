"""Starts the Bash kernel without the pause of 50 ms that pexpect makes before each line that it sends."""
import sys
from typing import Any

import pexpect


class _Spawn(pexpect.spawn):
    """The pause is there for programs that turn their terminal's echo off; this one is started without any."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.delaybeforesend = None


pexpect.spawn = _Spawn
sys.path.append("/opt/wheels")

from bash_kernel.kernel import BashKernel  # noqa: E402
from ipykernel.kernelapp import IPKernelApp  # noqa: E402

IPKernelApp.launch_instance(kernel_class=BashKernel)
