"""The examples run as their pages say."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ecoscale.datasets.layouts import Stretch, write_holter

ROOT = Path(__file__).parents[1]
LIVE = ROOT / "examples" / "live_socket"


def started(script, *arguments):
    return subprocess.Popen(
        [sys.executable, script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )


def test_a_record_played_over_a_socket_is_classified_on_the_way_and_a_cut_connection_is_a_gap(tmp_path):
    header = write_holter(tmp_path, [Stretch(35, 90)], hours=90 / 3600, rate=100, seed=1)
    with started(LIVE / "receiver.py", "--port", 0, "--connections", 5) as receiver:
        try:
            port = re.search(r"port (\d+)", receiver.stdout.readline())[1]
            # Cut for 3 s, which is missing samples.
            with started(LIVE / "sender.py", header, "--port", port, "--speed", 100, "--cut", "60:63") as sender:
                assert (sender.communicate(timeout=60)[1], sender.returncode) == ("", 0)
            # Another sender, whose leads the bundle cannot read.
            one_lead = write_holter(tmp_path, hours=0.01, rate=100, leads=("II",), record="one-lead")
            for _ in range(2):
                with started(LIVE / "sender.py", one_lead, "--port", port, "--speed", 100) as sender:
                    sender.communicate(timeout=60)
            # And one that speaks another language.
            with socket.create_connection(("127.0.0.1", int(port)), timeout=60) as peer:
                peer.sendall(b"[1, 2]\n")
            said, errors = receiver.communicate(timeout=60)
        finally:
            receiver.kill()
    assert errors == ""
    assert said.count("connected: 12 leads at 100 Hz") == 2
    windows = {float(found[1]): found[0] for found in re.finditer(r"^ +([\d.]+) to [\d.]+ s .*$", said, re.MULTILINE)}
    assert list(windows) == [5.0 * number for number in range(17)]
    assert "none of these" in windows[5]
    assert all("AF 0." in windows[start] for start in (40.0, 45.0, 65.0))
    assert "confirmed: AF" in windows[45]
    assert [start for start, line in windows.items() if "missing_samples" in line] == [55.0, 60.0]
    assert len(re.findall(r"refused: stream: no lead I, III.*found II", said)) == 2
    assert "refused: b'[1, 2]\\n'; expected a line of JSON with rate, leads and unit" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing.hea",), "nothing.hea: no such file"),
        (("{header}", "--port", "9"), "is the receiver running on 127.0.0.1:9?"),
        (("{header}", "--cut", "5"), "invalid stretch value: '5'"),
    ],
)
def test_a_sender_that_cannot_play_says_why(tmp_path, arguments, message):
    header = write_holter(tmp_path, hours=0.01, rate=100)
    with started(LIVE / "sender.py", *(argument.format(header=header) for argument in arguments)) as sender:
        errors = sender.communicate(timeout=60)[1]
    assert message in errors
    assert "Traceback" not in errors


def test_the_page_on_live_signals_prints_what_it_says(capsys):
    page = (ROOT / "docs" / "live-signals.md").read_text(encoding="utf-8")
    code, output = re.search(r"```python\n(.*?)```\nprints\n```\n(.*?)```", page, flags=re.DOTALL).groups()
    exec(compile(code, "live-signals.md", "exec"), {})
    assert capsys.readouterr().out == output
