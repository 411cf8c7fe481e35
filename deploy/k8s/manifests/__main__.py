"""`python -m deploy.k8s.manifests` writes every derived file."""

from deploy.k8s.manifests.files import files
from deploy.k8s.manifests.writing import write


def main() -> None:
    write(files())


if __name__ == "__main__":
    main()
