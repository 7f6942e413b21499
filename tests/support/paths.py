"""Where the project and its sample files are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "tests" / "samples"
IMPALA_MESSAGES = SAMPLES / "impala_messages.yaml"
