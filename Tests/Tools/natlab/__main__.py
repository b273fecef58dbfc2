#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A lab of NATs in network namespaces.

  python3 Tests/Tools/natlab possible
  python3 Tests/Tools/natlab self-check [--seed TEXT]
  python3 Tests/Tools/natlab attacks --binaries DIR [--only WORD]
  python3 Tests/Tools/natlab end-to-end --binaries DIR [--only WORD]
  python3 Tests/Tools/natlab fallbacks --binaries DIR [--only WORD]
  python3 Tests/Tools/natlab matrix --binaries DIR [--runs COUNT] [--kinds NAME,NAME…] …

Prints one JSON object for each check. The exit status is 0 when all passed, 1 when one failed, 2 when there can be no
lab here.
"""
import argparse
import json
import os
import signal
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import namespaces  # noqa: E402


def end_with_input() -> None:
    # Not by way of sys.stdin, whose lock would be held at our own end.
    while os.read(0, 4_096):
        pass
    os._exit(143)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--until-input-ends", action="store_true", help="end when standard input does")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("possible", help="say why there can be no lab here, if so")
    check = commands.add_parser("self-check", help="prove that each kind of NAT does what its name says")
    check.add_argument("--seed", default="0")
    table = commands.add_parser("matrix", help="punch between all pairs of kinds with real daemons, and count")
    table.add_argument("--binaries", required=True, help="where altnetd and altnet-punch are")
    table.add_argument("--runs", type=int, default=1)
    table.add_argument("--impossible", type=int, default=3, help="runs of pairs that cannot connect, at most")
    table.add_argument("--kinds", help="only these, with commas between them")
    table.add_argument("--initiators", help="only these as the side that calls, with commas between them")
    table.add_argument("--pairs", help="only these, as INITIATOR:RESPONDER with commas between them")
    table.add_argument("--delay", type=float, default=25, help="between two hosts, one way, in milliseconds")
    table.add_argument("--jitter", type=float, default=0, help="at most so many milliseconds more, one way")
    table.add_argument("--loss", type=float, default=0, help="of packets between two hosts, one way, in per cent")
    table.add_argument("--overlay", type=float, default=0, help="further delay of the coordination, in milliseconds")
    table.add_argument("--parallel", type=int, default=4, help="pairs at once")
    table.add_argument("--output", help="write every run into this file, as JSON")
    table.add_argument("--log-level", default="info")
    table.add_argument("--verbose", action="store_true", help="print the daemons' logs")
    table.add_argument("--seed", default="0")
    attack = commands.add_parser("attacks", help="misuse coordination endpoints, and count what that costs others")
    attack.add_argument("--binaries", required=True)
    attack.add_argument("--only", help="only checks whose name holds this")
    attack.add_argument("--flood-seconds", type=int, default=60)
    attack.add_argument("--parallel", type=int, default=3, help="checks at once, each in a lab of its own")
    attack.add_argument("--seed", default="0")
    whole = commands.add_parser("end-to-end", help="offers, Tor, two NATs, a punched link, and what the wire shows")
    whole.add_argument("--binaries", required=True)
    whole.add_argument("--only", help="only checks whose name holds this: over tor, unasked, node to node, over i2p")
    whole.add_argument("--seed", default="0")
    others = commands.add_parser("fallbacks", help="each way to a connection where those before it cannot work")
    others.add_argument("--binaries", required=True)
    others.add_argument("--only", help="only checks whose name holds this")
    others.add_argument("--seed", default="0")
    arguments = parser.parse_args()
    reason = namespaces.missing()
    if reason:
        print(f"no lab: {reason}")
        return 2
    if arguments.command == "possible":
        return 0
    if "binaries" in arguments:
        # The run has a working directory of its own.
        arguments.binaries = os.path.abspath(arguments.binaries)
        if not os.access(f"{arguments.binaries}/altnetd", os.X_OK):
            parser.error(f"there is no altnetd in {arguments.binaries}; run: swift build")
    # A test's own process may have blocked signals that its children inherit.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    namespaces.enter()
    # What is set for tests or for another daemon must not reach those that are started here.
    for name in [name for name in os.environ if name.startswith("ALTNET_") and name != "ALTNET_BITCOIND"]:
        del os.environ[name]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if arguments.until_input_ends:
        # The first process of the run is this one: the kernel ends all others with it.
        threading.Thread(target=end_with_input, daemon=True).start()
    import attacks
    import end_to_end
    import fallbacks
    import matrix
    import selfcheck
    reports = {"self-check": selfcheck.run, "matrix": matrix.run, "attacks": attacks.run,
               "end-to-end": end_to_end.run, "fallbacks": fallbacks.run}[arguments.command](arguments)
    for report in reports:
        print(json.dumps(report), flush=True)
    return 0 if all(report["ok"] for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
