"""Which addresses are of the public internet. Pure."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_SPECIAL_NETWORKS = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments, some of which Python counts as global
    IPv4Network("192.88.99.0/24"),  # 6to4 relays
    IPv4Network("168.63.129.16/32"),  # the metadata address of Azure's hosts
)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Of the public internet, also where IPv4 is wrapped in IPv6."""
    if isinstance(address, IPv6Address):
        inner = _unwrap(address)
        if inner is None:
            return address in _GLOBAL_UNICAST and address.is_global
        address = inner
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in network for network in _SPECIAL_NETWORKS)
    )


def _unwrap(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
