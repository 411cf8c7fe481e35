"""Certificates of one test, made with openssl: a CA, and a broker's certificate that it signs."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    ca: Path
    keystore: Path
    """Private key and certificate of the broker in one PEM file, as Kafka takes them."""


def make_certificates(folder: Path, address: str) -> Certificates:
    """The broker's certificate names the IP address and nothing else."""
    folder.mkdir(parents=True)
    make_ca(folder / "ca")
    request = (
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "broker.key",
        "-out",
        "broker.csr",
        "-subj",
        "/CN=broker",
    )
    _openssl(folder, "req", *request)
    (folder / "names").write_text(f"subjectAltName=IP:{address}\n")
    signed_by = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
    _openssl(folder, "x509", "-req", "-in", "broker.csr", "-days", "2", "-out", "broker.pem", *signed_by)
    keystore = folder / "keystore.pem"
    keystore.write_text((folder / "broker.key").read_text() + (folder / "broker.pem").read_text())
    return Certificates(ca=folder / "ca.pem", keystore=keystore)


def make_ca(path: Path) -> Path:
    """A CA's certificate `<path>.pem` with its key beside it."""
    files = ("-keyout", f"{path}.key", "-out", f"{path}.pem")
    _openssl(
        path.parent, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ca", *files
    )
    return path.with_name(f"{path.name}.pem")


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(("openssl", *arguments), cwd=folder, check=True, capture_output=True)
