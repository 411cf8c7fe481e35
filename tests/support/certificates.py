"""Certificates of one test, made with openssl: a CA, and the certificates of a broker and of clients that it signs."""

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
    (folder / "names").write_text(f"subjectAltName=IP:{address}\n")
    _sign(folder, "broker", "/CN=broker", "-extfile", "names")
    keystore = folder / "keystore.pem"
    keystore.write_text((folder / "broker.key").read_text() + (folder / "broker.pem").read_text())
    return Certificates(ca=folder / "ca.pem", keystore=keystore)


@dataclass(frozen=True)
class ClientCertificate:
    certificate: Path
    key: Path


def make_client_certificate(ca: Path, name: str, subject: str, days: int = 2) -> ClientCertificate:
    """Beside the CA that signs it, whose key is there too. The subject is written as openssl does: `/O=Example/CN=a`.

    With no days it has expired within a second.
    """
    folder = ca.parent
    _sign(folder, name, subject, ca=ca.stem, days=days)
    return ClientCertificate(folder / f"{name}.pem", folder / f"{name}.key")


def make_broker_certificate(ca: Path, name: str, days: int) -> ClientCertificate:
    """Another one for the address of the broker's own, beside it."""
    _sign(ca.parent, name, "/CN=broker", "-extfile", "names", ca=ca.stem, days=days)
    return ClientCertificate(ca.parent / f"{name}.pem", ca.parent / f"{name}.key")


def make_ca(path: Path) -> Path:
    """A CA's certificate `<path>.pem` with its key beside it."""
    files = ("-keyout", f"{path}.key", "-out", f"{path}.pem")
    _openssl(
        path.parent, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ca", *files
    )
    return path.with_name(f"{path.name}.pem")


def _sign(folder: Path, name: str, subject: str, *extensions: str, ca: str = "ca", days: int = 2) -> None:
    """A key `<name>.key` and its certificate `<name>.pem`."""
    request, certificate = f"{name}.csr", f"{name}.pem"
    key = ("-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key")
    _openssl(folder, "req", *key, "-out", request, "-subj", subject)
    signed_by = ("-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", *extensions)
    _openssl(folder, "x509", "-req", "-in", request, "-days", str(days), "-out", certificate, *signed_by)


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(("openssl", *arguments), cwd=folder, check=True, capture_output=True)
