"""``python -m edge_agent``: the command line."""

from edge_agent.cli import main

if __name__ == "__main__":
    main()
