"""What a worker must have so that it writes a dataset's bytes as the processor would."""

from collections.abc import Mapping
from typing import Final

from shared.dask.versions import fingerprint
from shared.datasets.model import Dataset
from shared.transforms.apply import Transformer

TRANSFORMS: Final = "transforms"
"""Among the versions: the secret of masks and the limits of steps, as a digest."""


def wanted_for(dataset: Dataset, versions: Mapping[str, str], transformer: Transformer) -> str:
    """Begins with the fingerprint of the versions; only a dataset with a transform asks for more."""
    own = fingerprint(versions)
    return f"{own}-{transformer.digest}" if dataset.transform else own
