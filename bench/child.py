"""`python -m bench.child module:function '{"argument": …}'`: one call, alone in its process.

The last line of the output is JSON: what the call returned, and this process's peak memory.
"""

from __future__ import annotations

import importlib
import json
import sys

from bench.measure import peak_resident


def main() -> int:
    """Make the call and report."""
    module, _, function = sys.argv[1].partition(":")
    result = getattr(importlib.import_module(module), function)(**json.loads(sys.argv[2]))
    print(json.dumps({"result": result, "peak_bytes": peak_resident("self")}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
