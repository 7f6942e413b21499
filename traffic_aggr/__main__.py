"""Entry point of ``python -m traffic_aggr COMMAND ...``."""

from traffic_aggr.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
