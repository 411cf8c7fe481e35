"""What a Docker engine changes on a machine's network, and its way back."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.compose.commands import run

SETTINGS = tuple(
    Path("/proc/sys/net") / name
    for name in (
        "ipv4/ip_forward",
        "ipv6/conf/all/forwarding",
        "bridge/bridge-nf-call-iptables",
        "bridge/bridge-nf-call-ip6tables",
    )
)
RESOLVER = Path("/etc/resolv.conf")
FAMILIES = ("iptables", "ip6tables")
BRIDGES = re.compile(r"docker0|docker_gwbridge|br-[0-9a-f]{12}")
NEVER_ASKED = "1"
"""A kernel that gets its bridge module from the engine has this afterwards, as every kernel at first."""


@dataclass(frozen=True)
class Network:
    settings: dict[str, str]
    rules: dict[str, list[str]]
    """The rules per family, without a kernel's defaults: empty tables, and policies that accept."""
    links: list[str]
    resolver: str

    @classmethod
    def now(cls) -> "Network":
        return cls(
            {str(file): file.read_text().strip() if file.exists() else NEVER_ASKED for file in SETTINGS},
            {family: _rules(run(f"{family}-save")) for family in FAMILIES},
            sorted(re.findall(r"^\d+: ([^:@\s]+)", run("ip", "-o", "link"), re.MULTILINE)),
            RESOLVER.read_text(),
        )

    @classmethod
    def load(cls, file: Path) -> "Network":
        return cls(**json.loads(file.read_text()))

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)))

    @property
    def has_an_engine(self) -> bool:
        return any(rule.startswith(":DOCKER ") for rule in self.rules["iptables"])

    @property
    def bridges(self) -> set[str]:
        return set(filter(BRIDGES.fullmatch, self.links))

    def restore(self, saved_rules: dict[str, str]) -> None:
        """`saved_rules` is what `rules_as_saved` gave."""
        for name in Network.now().bridges - self.bridges:
            run("ip", "link", "delete", name)
        for family in FAMILIES:
            for table in ("filter", "nat"):
                for flush in ("-F", "-X"):
                    run(family, "-t", table, flush, check=False)
            for chain in ("INPUT", "FORWARD", "OUTPUT"):
                run(family, "-P", chain, "ACCEPT", check=False)
            if saved_rules[family]:
                run(f"{family}-restore", stdin=saved_rules[family])
        for name, value in self.settings.items():
            file = Path(name)
            if file.exists() and file.read_text().strip() != value:
                file.write_text(value + "\n")


def rules_as_saved() -> dict[str, str]:
    return {family: run(f"{family}-save") for family in FAMILIES}


def _rules(saved: str) -> list[str]:
    return [
        re.sub(r" \[\d+:\d+\]$", "", line)
        for line in saved.splitlines()
        if line.startswith("-") or (line.startswith(":") and " ACCEPT " not in line)
    ]
