#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lets altnetd watch an unmodified Bitcoin Core that is being kept from the chain, and heal it.

  bitcoind_watchdog.py --binaries DIR [--only WORD]

DIR holds altnetd, altnet and altnet-bitcoin; ALTNET_BITCOIND names bitcoind. Everything stays on loopback and in a
temporary directory. Prints one JSON object for each check; a failed one carries what all sides logged. The exit status
is 0 when all checks passed, 1 when one failed, 2 when none could be made.
"""
import glob
import os
import subprocess
import sys
import time

from bitcoind_sync import Altnet, Bench, Bitcoind, Failure, run_checks, until
from spoiling_peer import SpoilingPeer

# How soon a withheld block must be reported beside the grace, and how soon the node must have it.
REPORT_SECONDS = 2
HEAL_SECONDS = 20
GRACE_SECONDS = 1


def watch(bench: Bench, victim: Bitcoind, honest: Bitcoind, *settings: str) -> Altnet:
    """A daemon beside the victim, with one honest link."""
    return bench.altnet(
        "node.kind=bitcoin-core", f"node.url=http://127.0.0.1:{victim.rpc_port}",
        f"node.cookie_file={victim.directory}/regtest/.cookie", f"watchdog.grace_seconds={GRACE_SECONDS}",
        f"drivers.bitcoin.connect={honest.address}", *settings)


def eclipsed(bench: Bench) -> tuple[Bitcoind, Bitcoind, Bitcoind]:
    """An honest node, one that withholds everything after height 105, and a victim that is connected to it alone."""
    honest = bench.bitcoind()
    withholding = bench.bitcoind("-connect=0")
    honest.mine(105)
    withholding.call("addnode", honest.address, "onetry")
    until(lambda: withholding.call("getblockcount") == 105, 30, "the withholding node's copy of the chain")
    for peer in withholding.call("getpeerinfo"):
        withholding.call("disconnectnode", peer["addr"])
    victim = bench.bitcoind(f"-connect={withholding.address}")
    until(lambda: victim.call("getblockcount") == 105, 30, "the victim's copy of the chain")
    return honest, withholding, victim


def incident(altnet: Altnet, kind: str, is_open: bool = True) -> dict | None:
    for found in altnet.ask("incidents"):
        if found["kind"] == kind and ("closed" not in found) == is_open:
            return found
    return None


def level(altnet: Altnet, height: int) -> None:
    until(lambda: altnet.ask("node")["node"].get("missingBlocks") == 0
          and altnet.ask("node")["node"].get("blocks") == height, 20, f"the daemon's seeing the node at {height}")


def heal(bench: Bench, follow: str) -> dict:
    """Eclipse, incident, headers and blocks fed, node at the honest tip, incident closed, all of it in the audit log."""
    honest, _, victim = eclipsed(bench)
    altnet = watch(
        bench, victim, honest, f"node.follow={follow}", "policy.dry_run=false", "node.allow=headers,blocks,peers")
    level(altnet, 105)
    if incident(altnet, "node-behind"):
        raise Failure("there is an incident before the attack")
    best = honest.mine(5)
    # With the policy in force the node may be healed before anybody looks: the record stays.
    _, seen = until(
        lambda: incident(altnet, "node-behind") or incident(altnet, "node-behind", False), 10, "an incident")
    if seen > GRACE_SECONDS + REPORT_SECONDS:
        raise Failure(f"the incident was seen only after {seen} s, {GRACE_SECONDS} s of which are the grace")
    _, seconds = until(lambda: victim.call("getbestblockhash") == best, HEAL_SECONDS, "the node's being healed")
    closed, _ = until(lambda: incident(altnet, "node-behind", False), 10, "the incident's end")
    if closed["ending"] != "caught-up":
        raise Failure(f"the incident ended as {closed['ending']}")
    done = {action["action"] for action in closed["actions"] if action["outcome"] == "done"}
    if not {"feed-headers", "feed-blocks"} <= done:
        raise Failure(f"of the actions only {sorted(done)} were done: {closed['actions']}")
    audit = open(f"{altnet.options[3]}/regtest/audit.jsonl").read()
    for call in ("submitheader", "submitblock"):
        if call not in audit:
            raise Failure(f"the audit log does not have {call}")
    # The next block is fed as well.
    best = honest.mine(1)
    _, again = until(lambda: victim.call("getbestblockhash") == best, HEAL_SECONDS, "the node's being healed again")
    proof = f"{altnet.options[3]}/proof.json"
    altnet.ask("incidents", "show", str(closed["id"]), "--evidence", proof)
    verified = altnet.run("incidents", "verify", proof, "--json")
    if not verified["valid"]:
        raise Failure(f"the proof is refused: {verified}")
    return {"graceSeconds": GRACE_SECONDS, "reportedSeconds": seen, "healSeconds": seconds, "nextBlockSeconds": again,
            "followedBy": altnet.ask("node")["node"].get("followedBy"), "proven": verified["proven"][:2]}


def dry_run(bench: Bench) -> dict:
    """Without permission nothing is changed; what would have been done is written down."""
    honest, _, victim = eclipsed(bench)
    altnet = watch(bench, victim, honest)
    level(altnet, 105)
    honest.mine(3)
    found, seconds = until(
        lambda: (found := incident(altnet, "node-behind")) and len(found["actions"]) >= 3 and found, 10,
        "an incident with plans")
    if any(action["outcome"] != "planned" for action in found["actions"] if action["action"] != "open-links"):
        raise Failure(f"something was done: {found['actions']}")
    if victim.call("getblockcount") != 105:
        raise Failure("the node was changed")
    if altnet.ask("node")["safe"]["safe"] and found["severity"] == "critical":
        raise Failure("it is called safe")
    return {"severity": found["severity"], "missing": found["behind"]["blocks"], "seconds": seconds,
            "planned": [action["action"] for action in found["actions"]]}


def restart(bench: Bench) -> dict:
    """The node goes away and comes back with another cookie; that it was away is an incident, that it is back ends it."""
    honest, _, victim = eclipsed(bench)
    altnet = watch(bench, victim, honest)
    level(altnet, 105)
    victim.stop()
    gone, seconds = until(lambda: incident(altnet, "node-unavailable"), 120, "an incident about the node's absence")
    victim.start_again()
    _, back = until(lambda: incident(altnet, "node-unavailable", False), 60, "the end of that incident")
    return {"goneSeconds": seconds, "backSeconds": back, "explanation": gone["explanation"]}


def syncing(bench: Bench) -> dict:
    """A node in its initial download is behind and knows it: no alarm."""
    honest = bench.bitcoind()
    honest.mine(400)
    fresh = bench.bitcoind("-connect=0")
    altnet = watch(bench, fresh, honest)
    until(lambda: altnet.tip()[0] == 400, 30, "the daemon's having the headers")
    until(lambda: altnet.ask("node")["node"].get("isSyncing"), 20, "the node's being known to download")
    # Longer than the grace by the clock of the chain: another header comes and the grace passes.
    honest.mine(1)
    until(lambda: altnet.tip()[0] == 401, 30, "the next header")
    passed = time.monotonic() + 2 * GRACE_SECONDS + 1
    until(lambda: time.monotonic() > passed, 20, "the passing of the grace")
    if found := incident(altnet, "node-behind"):
        raise Failure(f"an alarm while it downloads: {found['explanation']}")
    return {"incidents": len(altnet.ask("incidents"))}


def splice_heal(bench: Bench) -> dict:
    """The victim gets a peer through a spliced port when the policy says so, and catches up by its own means."""
    honest, _, victim = eclipsed(bench)
    far = bench.altnet(
        f"drivers.bitcoin.connect={honest.address}", "drivers.lightning.listen=127.0.0.1:0",
        f"splice.accept={honest.address}")
    lightning, _ = until(
        lambda: next((driver["listening"][0] for driver in far.ask("drivers")
                      if driver["name"] == "lightning" and driver["listening"]), None), 20, "the far side's listening")
    altnet = watch(
        bench, victim, honest, f"drivers.lightning.connect={lightning}", "splice.ports.far.driver=lightning",
        "policy.dry_run=false", "node.allow=peers", "policy.node-behind=add-spliced-peer")
    level(altnet, 105)
    until(lambda: [port for port in altnet.ask("splices") if "reason" not in port], 20, "a spliced port")
    best = honest.mine(4)
    _, seconds = until(lambda: victim.call("getbestblockhash") == best, 60, "the node's catching up over Lightning")
    return {"seconds": seconds}


def levels(altnet: Altnet) -> list[dict]:
    return [link for link in altnet.ask("links") if link.get("missingBlocks") == 0]


def spoiled(bench: Bench, way: str) -> dict:
    """Three links that spoil blocks do not keep an honest fourth from healing the node, and each is accused."""
    honest, _, victim = eclipsed(bench)
    spoilers = [SpoilingPeer(honest, way) for _ in range(3)]
    try:
        links = ",".join(spoiler.address for spoiler in spoilers)
        altnet = watch(
            bench, victim, honest, f"drivers.bitcoin.connect={links}", "policy.dry_run=false",
            "policy.node-behind=feed-blocks", "node.allow=blocks")
        level(altnet, 105)
        until(lambda: len(levels(altnet)) == 3, 20, "the spoilers' being level")
        # Last, so that the others are asked first.
        subprocess.run(
            [f"{bench.binaries}/altnet", "link", "open", "bitcoin", honest.address, *altnet.options], check=True,
            stdout=subprocess.DEVNULL)
        until(lambda: len(levels(altnet)) == 4, 20, "the honest link's being level")
        best = honest.mine(2)
        _, seconds = until(lambda: victim.call("getbestblockhash") == best, 90, "the node's being healed")
        asked = [spoiler for spoiler in spoilers if spoiler.asked]
        accused = {found["subject"] for found in altnet.ask("incidents") if found["kind"] == "withheld-block"}
        # Who is slow is accused when its time is over, which is later than anybody waits here.
        if way != "silent" and (missing := [peer.address for peer in asked if f"bitcoin {peer.address}" not in accused]):
            raise Failure(f"{missing} withheld blocks and are not accused: {accused}")
        # What is over is over: the node has the blocks.
        until(lambda: altnet.ask("node")["safe"]["safe"], 20, "its being called safe again")
        return {"healSeconds": seconds, "asked": len(asked), "accused": len(accused)}
    finally:
        for spoiler in spoilers:
            spoiler.close()


def kernel(bench: Bench) -> dict:
    """Without any node, libbitcoinkernel in the daemon validates the blocks that links bring, reorganisations too."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    found = glob.glob(f"{root}/.build/venv/lib/python3*/site-packages/pbk/_libs/libbitcoinkernel.so")
    if not found:
        return {"skipped": "scripts/setup --tests installs the library"}
    honest = bench.bitcoind()
    honest.mine(300)
    altnet = bench.altnet(
        "node.kind=kernel", f"node.library={found[0]}", f"drivers.bitcoin.connect={honest.address}")
    _, seconds = until(lambda: altnet.ask("node")["node"].get("blocks") == 300, 60, "300 validated blocks")
    honest.call("invalidateblock", honest.call("getblockhash", 298))
    best = honest.call("generatetodescriptor", 6, "raw(51)")[-1]
    _, again = until(
        lambda: altnet.ask("node")["node"].get("bestBlock") == best, 30, "the kernel's following a reorganisation")
    altnet.stop()
    if altnet.process.returncode != 0:
        raise Failure(f"altnetd ended with status {altnet.process.returncode}")
    return {"seconds": seconds, "reorganisationSeconds": again}


def main() -> int:
    return run_checks(__doc__, [
        ("heal-wait", lambda bench: heal(bench, "wait")),
        ("heal-poll", lambda bench: heal(bench, "poll")),
        ("dry-run", dry_run),
        ("restart", restart),
        ("syncing", syncing),
        ("splice-heal", splice_heal),
        *((f"spoiled-{way}", lambda bench, way=way: spoiled(bench, way))
          for way in ("missing", "garbage", "witness", "silent")),
        ("kernel", kernel),
    ])


if __name__ == "__main__":
    sys.exit(main())
