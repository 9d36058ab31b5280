"""Tables as they are piped: a line for each row, whatever its length."""

from watcher.commands.output import print_table


def test_columns_are_as_wide_as_their_widest(capsys):
    """Wide characters count twice, as terminals show them; nothing is folded or cut."""
    print_table(("A", "B"), [("検査", 1), (None, "x" * 300)], nothing="")
    assert ["A     B", "検査  1", f"      {'x' * 300}"] == capsys.readouterr().out.splitlines()


def test_no_rows_are_a_sentence(capsys):
    """Without a head."""
    print_table(("A", "B"), [], nothing="nothing is open")
    assert "nothing is open\n" == capsys.readouterr().out
