"""Whether a model file may be read at all, asked in a process of its own: a few megabytes can unfold into gigabytes.

python -m cfq_core.models.sandbox NAME < FILE     exit 0, or one line on stderr and 2
"""

from __future__ import annotations

import subprocess
import sys

from cfq_core.base.errors import BadInput, CfqError
from cfq_core.base.processes import environment, module_command
from cfq_core.models.limits import limited

MEMORY = 3 << 30  # bytes of address space
PROCESSOR = 30  # seconds
PATIENCE = 120.0  # seconds by the clock, on a busy machine
TOLD = 300  # characters of the reason, at most


def sandboxed_parse(content: bytes, name: str) -> None:
    """Raise `BadInput` in one line where `parse_model` refuses a file, or cannot be done within the limits."""
    command = module_command("cfq_core.models.sandbox", name)
    one_thread = environment(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    try:
        ran = subprocess.run(command, input=content, capture_output=True, timeout=PATIENCE, env=one_thread)
    except subprocess.TimeoutExpired:
        raise BadInput(f"{name}: takes too long to be read; refused") from None
    if ran.returncode == BadInput.exit_code:
        raise BadInput(ran.stderr.decode(errors="replace").strip()[:TOLD])
    if ran.returncode:
        raise BadInput(f"{name}: needs too much memory or time to be read; refused")


def main() -> int:
    """Read stdin within the limits."""
    limited(MEMORY, PROCESSOR)  # where the system has none, `wire.check` still refuses what would unfold
    from cfq_core.models.read import parse_model

    try:
        parse_model(sys.stdin.buffer.read(), sys.argv[1])
    except CfqError as problem:
        sys.stderr.write(" ".join(str(problem).split()))
        return problem.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
