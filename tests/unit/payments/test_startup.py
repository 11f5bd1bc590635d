"""What the start of payments does not wait for."""

from __future__ import annotations

import subprocess
import sys


def test_stripe_is_not_imported_where_it_is_off() -> None:
    """Goal: its library, a quarter of a second and 15 MB, is loaded by who uses it."""
    code = "import payments.__main__, sys; print('stripe' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
