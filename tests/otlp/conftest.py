"""Puts the helpers on the import path, from where programs in processes of their own import them too."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
