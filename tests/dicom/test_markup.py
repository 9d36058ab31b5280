"""XML of others: what would take too much memory is refused before a tree is made of it."""

import gzip

import pytest

from watcher.core.errors import DocumentError
from watcher.dicom import markup

LARGE = {
    "elements": b"<a>" + b"<a/>" * markup.NODES + b"</a>",
    "attributes": b"<a>" + b"<a b='' c=''/>" * (markup.NODES // 3 + 1) + b"</a>",
    "bytes": b"<a><!--" + b"x" * markup.LARGEST + b"--></a>",
}


@pytest.mark.parametrize("what", LARGE)
def test_what_is_larger_than_the_limit_is_refused(what):
    """Neither parsed, nor salvaged."""
    with pytest.raises(DocumentError, match="it is larger than the limit"):
        markup.parse(LARGE[what], "it")
    assert markup.remains(LARGE[what]) is None


def test_what_inflates_to_more_is_refused():
    """A gzipped document has the same limit."""
    with pytest.raises(DocumentError, match="becomes larger than the limit"):
        markup.inflated(gzip.compress(LARGE["bytes"], 1), "it")
