"""``python -m mlflow_trace``: the command ``mlflow-trace``, see docs/command.md."""

import signal
import sys

from . import _native


def main() -> int:
    """Run the command with the arguments of the process; its exit code."""
    # Python would only note an interrupt until the command returns.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _native.run_command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
