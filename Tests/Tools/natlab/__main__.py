#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A lab of NATs in network namespaces.

  python3 Tests/Tools/natlab self-check [--seed TEXT]

Prints one JSON object for each check. The exit status is 0 when all passed, 1 when one failed, 2 when there can be no
lab here.
"""
import argparse
import json
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import namespaces  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(namespaces.INSIDE, action="store_true", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("self-check", help="prove that each kind of NAT does what its name says")
    check.add_argument("--seed", default="0")
    arguments = parser.parse_args()
    reason = namespaces.missing()
    if reason:
        print(f"no lab: {reason}", file=sys.stderr)
        return 2
    namespaces.enter()
    # What is set for tests or for another daemon must not reach those that are started here.
    for name in [name for name in os.environ if name.startswith("ALTNET_") and name != "ALTNET_BITCOIND"]:
        del os.environ[name]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    import selfcheck
    reports = {"self-check": selfcheck.run}[arguments.command](arguments)
    for report in reports:
        print(json.dumps(report), flush=True)
    return 0 if all(report["ok"] for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
