"""What the command line prints reaches people and programs whole."""

import json

import pytest

from infra import cli_output


def test_a_table_row_is_one_line_however_long_its_cells_are(capsys: pytest.CaptureFixture[str]) -> None:
    cli_output.print_rows(("NAME", "ID"), [("x" * 300, "y" * 300)])

    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["NAME", "ID"]
    assert row == "x" * 300 + "  " + "y" * 300


def test_control_characters_of_partners_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    cli_output.print_facts({"name": "Evil\x1b[2J [bold]Energy[/bold]\n\u202e"})

    assert capsys.readouterr().out == "name  Evil\\x1b[2J [bold]Energy[/bold]\\n\\u202e\n"


def test_no_rows_say_what_to_do_on_stderr_and_leave_stdout_empty(capsys: pytest.CaptureFixture[str]) -> None:
    cli_output.print_rows(("NAME",), [], empty="nothing yet")

    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "nothing yet\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "yes"), (False, "no"), (["NL/A CPO", None], "NL/A CPO, "), (12.345, "12.3"), (0, "0")],
)
def test_cells_are_written_in_words(value: object, text: str) -> None:
    assert cli_output.cell(value) == text


def test_json_keeps_every_letter(capsys: pytest.CaptureFixture[str]) -> None:
    cli_output.print_json({"name": "Straße 充電"})

    out = capsys.readouterr().out
    assert "Straße 充電" in out
    assert json.loads(out) == {"name": "Straße 充電"}
