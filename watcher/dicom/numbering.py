"""How the images of a catalog are numbered, without a tree of all its entries."""

from collections.abc import Sequence

from watcher.dicom import catalog
from watcher.dicom.excerpt import Excerpt


def numbers(data: bytes, cut: Excerpt | None) -> Sequence[int | None]:
    """The InstanceNumber of each of a catalog's entries, None where one has none.

    `cut`: what `catalog.select` made of it, which has them. Raises DocumentError.
    """
    if cut:
        return cut.numbers
    return [entry.instance_number for entry in catalog.read(data)[1]]
