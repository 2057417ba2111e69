"""What commands print is what was meant, whatever stands in a path or a text."""

from flows.reports.terminal import stdout


def test_brackets_and_colons_are_no_markup(capsys):
    stdout().print("o[c]*? [bold]x[/bold] [/] :mill: [link=x]", soft_wrap=True)
    assert capsys.readouterr().out == "o[c]*? [bold]x[/bold] [/] :mill: [link=x]\n"
