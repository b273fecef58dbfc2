# SPDX-License-Identifier: MIT
"""Kinds of NATs and firewalls as rules of nft(8), in words of RFC 4787 and RFC 5382.

A kind says what a router does with connections from inside (its mapping) and with SYNs from outside that nobody inside
expects (drop, or answer RST). Linux filters by address and port, the strictest kind there is, unless the rules remember
what was sent where, and let more in.
"""
from dataclasses import dataclass

# Flips bits of the local port: another port, the same one for every destination, and never two for one. The upper bits
# stay, so that what was no reserved port does not become one.
PORT_MASK = 0x1555


@dataclass(frozen=True)
class Kind:
    """What stands between a host and the network."""

    name: str
    # What the NAT check should call it: open, where connections from outside come in, else as in RFC 4787.
    mapping: str
    preserves_port: bool = True
    # SYNs from outside that nobody expects: "accept", "drop" or "reset".
    unsolicited: str = "drop"
    # NATs from the host outwards: "preserving", "masked" or "random". None of them: the host has a public address.
    layers: tuple[str, ...] = ()
    # What comes in (RFC 4787, section 5) through the innermost NAT: what answers, by "address and port"; whatever comes
    # from an "address" that something was sent to; or, "endpoint-independent", whatever comes to a port in use.
    filtering: str = "address and port"
    # For readers.
    text: str = ""

    @property
    def can_punch(self) -> bool:
        """Whether the address and port that others will see can be known before they do."""
        return self.mapping != "endpoint-dependent"


KINDS = {kind.name: kind for kind in [
    Kind("open", "open", unsolicited="accept", text="a public address and no firewall"),
    Kind("firewall", "endpoint-independent", text="a public address behind a stateful firewall that drops"),
    Kind("firewall-rst", "endpoint-independent", unsolicited="reset",
         text="a public address behind a stateful firewall that answers RST"),
    Kind("preserving", "endpoint-independent", layers=("preserving",), text="a NAT that keeps the port and drops"),
    Kind("preserving-rst", "endpoint-independent", unsolicited="reset", layers=("preserving",),
         text="a NAT that keeps the port and answers RST"),
    Kind("mapped", "endpoint-independent", False, layers=("masked",),
         text="a NAT that uses another port, the same for every destination, and drops"),
    Kind("mapped-rst", "endpoint-independent", False, "reset", ("masked",),
         text="a NAT that uses another port, the same for every destination, and answers RST"),
    Kind("double", "endpoint-independent", False, layers=("preserving", "masked"),
         text="two NATs in a row, as with a provider that shares addresses; the outer one uses another port"),
    Kind("dependent", "endpoint-dependent", False, layers=("random",),
         text="a NAT that uses another port for every destination, and drops"),
    Kind("dependent-rst", "endpoint-dependent", False, "reset", ("random",),
         text="a NAT that uses another port for every destination, and answers RST"),
    Kind("loose", "endpoint-independent", layers=("preserving",), filtering="endpoint-independent",
         text="a NAT that keeps the port, and lets in whoever comes to a port in use"),
    Kind("restricted", "endpoint-independent", layers=("preserving",), filtering="address",
         text="a NAT that keeps the port, and lets in whoever was sent something, from any port"),
]}


def connects(one: Kind, other: Kind) -> bool:
    """Whether theory lets two hosts connect, whoever begins."""
    if "open" in (one.name, other.name):
        return True
    if one.can_punch and other.can_punch:
        return True
    # Nobody knows the port from which the one comes; the other lets it in all the same.
    return any(strict.can_punch != lax.can_punch and lax.can_punch and lax.filtering != "address and port"
               for strict, lax in [(one, other), (other, one)])


# Where miniupnpd puts its rules when it is told to by PCP, NAT-PMP or UPnP.
PORT_MAPPING_CHAINS = """
  chain miniupnpd { }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
  chain prerouting {
    type nat hook prerouting priority dstnat
    jump prerouting_miniupnpd
  }
"""


# What was sent from where to whom, and what may come in because of it. The host is the only client.
REMEMBERED = {
    "address and port": "",
    "address": ("ipv4_addr . inet_service", "ip daddr . tcp sport", "ip saddr . tcp dport"),
    "endpoint-independent": ("inet_service", "tcp sport", "tcp dport"),
}


def letting_in(filtering: str, host: str) -> str:
    """Chains of the NAT that let more in than answers."""
    if not REMEMBERED[filtering]:
        return ""
    types, sent, comes = REMEMBERED[filtering]
    return f"""
  set sent {{
    type {types}
    flags dynamic, timeout
    timeout 5m
    size 65535
  }}
  chain remember {{
    type filter hook forward priority filter
    iifname "lan0" oifname "wan0" meta l4proto tcp add @sent {{ {sent} }}
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat
    iifname "wan0" {comes} @sent dnat to {host}
  }}"""


def rules(layer: str | None, external: str | None, unsolicited: str, maps_ports: bool = False,
          filtering: str = "address and port", host: str = "") -> str:
    """One router with the devices `lan0` and `wan0`."""
    translations = {
        None: "",
        "preserving": f'oifname "wan0" snat ip to {external}',
        "masked": f'oifname "wan0" meta l4proto tcp snat ip to {external} : tcp sport ^ {PORT_MASK}\n'
                  f'    oifname "wan0" snat ip to {external}',
        "random": f'oifname "wan0" snat ip to {external} fully-random',
    }
    # Unsolicited SYNs must not become connections of the router itself: an entry for them would stand in the way of the
    # mapping that the expected SYN needs. Both verdicts come before an entry is confirmed.
    verdict = {"accept": "accept", "drop": "drop", "reset": "meta l4proto tcp reject with tcp reset"}[unsolicited]
    return f"""
flush ruleset
table ip nat {{{letting_in(filtering, host)}
  chain postrouting {{
    type nat hook postrouting priority srcnat
    {translations[layer]}
  }}
}}
table inet filter {{{PORT_MAPPING_CHAINS if maps_ports else ""}
  chain unexpected {{
    ct state established,related accept
    {"" if filtering == "address and port" else "ct status dnat accept"}
    meta l4proto {{ icmp, icmpv6 }} accept
    {verdict}
    {"" if unsolicited == "accept" else "drop"}
  }}
  chain input {{
    type filter hook input priority filter
    iifname "wan0" jump unexpected
  }}
  chain forward {{
    type filter hook forward priority filter
    {'iifname "wan0" jump miniupnpd' if maps_ports else ""}
    iifname "wan0" jump unexpected
  }}
}}
"""
