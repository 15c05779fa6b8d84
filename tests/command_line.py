"""The command line, run in this process."""

from __future__ import annotations

import pytest

from explorer.cli import main


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Run ``explorer ARGS``.

    Returns:
        Exit status, standard output, standard error.
    """
    with pytest.raises(SystemExit) as ended:
        main(list(args))
    out, err = capsys.readouterr()
    return ended.value.code, out, err
