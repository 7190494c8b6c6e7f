"""``edge-agent`` and ``python -m edge_agent``: the daemon without the command line, or that."""

import os
import sys


def main() -> None:
    """Run what the arguments ask for."""
    from edge_agent.daemon import import_structlog_lean, serve, settings_file, spare_memory

    config = settings_file(sys.argv[1:], os.environ)
    if config is not None:
        spare_memory()
        import_structlog_lean()
        sys.exit(serve(config))
    from edge_agent.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
