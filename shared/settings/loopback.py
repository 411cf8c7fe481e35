import ipaddress


def is_loopback(host: str) -> bool:
    """Whether what is sent there stays on this machine. Looks no name up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
