"""A tree as lines of text."""

from watcher.report.tree import Branch, draw


def test_every_branch_hangs_from_what_holds_it():
    """Depth first, in the given order; only a branch with later siblings has a stem below it."""
    tree = Branch("P", [Branch("a", [Branch("1"), Branch("2")]), Branch("b", [Branch("3")])])
    expected = ["P", "├── a", "│   ├── 1", "│   └── 2", "└── b", "    └── 3"]
    assert expected == list(draw(tree))


def test_a_root_alone_is_one_line():
    """Nothing hangs from it, nothing is drawn."""
    assert list(draw(Branch("P"))) == ["P"]
