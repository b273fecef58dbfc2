#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Gives one unmodified Bitcoin Core another one as its only peer, over a Lightning link between two altnetd.

  bitcoind_splice.py --binaries DIR

DIR holds altnetd, altnet and altnet-lightning; ALTNET_BITCOIND names bitcoind. Everything stays on loopback and in a
temporary directory. Prints one JSON object for each check; the exit status is 0 when all passed.
"""
import argparse
import os
import sys
import time

from bitcoind_sync import BLOCKS, SYNC_SECONDS, Altnet, Bench, Bitcoind, Failure, until

# Bitcoin Core looks for new blocks of a peer at once, but fetches the last day's worth only when it is not busy.
NEWS_SECONDS = 20


def same_tip(one: Bitcoind, other: Bitcoind) -> bool:
    return one.call("getbestblockhash") == other.call("getbestblockhash")


def splice(bench: Bench, listener_opens: bool) -> dict:
    """One node mines; the other one has nothing but `addnode` with a port of its altnetd."""
    miner = bench.bitcoind()
    miner.mine(BLOCKS)
    follower = bench.bitcoind("-listen=0")
    accepts, opens = [f"splice.accept={miner.address}"], ["splice.ports.miner.driver=lightning"]
    listener = bench.altnet("drivers.lightning.listen=127.0.0.1:0", *(opens if listener_opens else accepts))
    dialler = bench.altnet(
        f"drivers.lightning.connect={listener.listening()}", *(accepts if listener_opens else opens))
    near = listener if listener_opens else dialler
    port, _ = until(lambda: usable_port(near), 20, "a link that takes streams")
    began = time.monotonic()
    follower.call("addnode", port, "add")
    until(lambda: same_tip(miner, follower), SYNC_SECONDS, f"{BLOCKS} blocks")
    sync = round(time.monotonic() - began, 2)
    peers = follower.call("getpeerinfo")
    if [peer["addr"] for peer in peers] != [port]:
        raise Failure(f"the peers are {[peer['addr'] for peer in peers]}, not {port} alone")
    miner.mine(3)
    _, news = until(lambda: same_tip(miner, follower), NEWS_SECONDS, "following new blocks")
    report = near.ask("splices")[0]
    if follower.call("getblockcount") != BLOCKS + 3 or report["connections"] != 1:
        raise Failure(f"at height {follower.call('getblockcount')}, with {report}")
    return {"syncSeconds": sync, "newBlocksSeconds": news, "transport": peers[0]["transport_protocol_type"],
            "bytesIn": report["bytesIn"], "bytesOut": report["bytesOut"]}


def usable_port(altnet: Altnet) -> str | None:
    return next((port["listening"] for port in altnet.ask("splices") if not port.get("reason")), None)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--binaries", required=True)
    arguments = parser.parse_args()
    bitcoind = os.environ.get("ALTNET_BITCOIND")
    if not bitcoind:
        print("ALTNET_BITCOIND must name bitcoind", file=sys.stderr)
        return 2
    bench = Bench(bitcoind, arguments.binaries, "default", None)
    try:
        for name, listener_opens in [("the dialling side opens", False), ("the listening side opens", True)]:
            bench.check(name, lambda opens=listener_opens: splice(bench, opens))
    finally:
        bench.close()
    return 1 if bench.failed else 0


if __name__ == "__main__":
    sys.exit(main())
