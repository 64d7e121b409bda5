"""The command as a process: pipes, signals, terminals, and a machine without torch."""

import json
import os
import pty
import signal

import pytest

WITHOUT_TORCH = (
    "import sys\n"
    "class Absent:\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        if name.partition('.')[0] in ('torch', 'lightning', 'onnx', 'onnxscript', 'yaml', 'tensorboard'):\n"
    "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
    "sys.meta_path.insert(0, Absent())\n"
    "from ecoscale.cli import app\n"
    "app()"
)


def ended(process):
    """Exit status, standard output and error."""
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


@pytest.fixture
def waiting(process, ecgs, bundle, tmp_path):
    """A process that has printed the result of one recording and waits for the second file to be written."""
    pipe = tmp_path / "second.hea"
    os.mkfifo(pipe)
    started = process(
        "predict", ecgs / "good-AF.hea", pipe, "--bundle", bundle, "--format", "json", "--batch-size", "1"
    )
    assert json.loads(started.stdout.readline())["record"] == "good-AF"
    yield started, pipe
    if started.poll() is None:
        started.kill()
    started.communicate()


def test_standard_output_holds_results_only(process, ecgs, bundle):
    status, output, errors = ended(process("predict", ecgs, "--bundle", bundle, "--format", "json"))
    assert (status, errors) == (0, "")
    assert [json.loads(line)["record"] for line in output.splitlines()] == ["good-AF", "good-LBBB", "good-normal"]


def test_progress_is_shown_on_standard_error_where_that_is_a_terminal(process, ecgs, bundle):
    reader, writer = pty.openpty()
    started = process("predict", ecgs, "--bundle", bundle, "--format", "json", stderr=writer)
    os.close(writer)
    output, _ = started.communicate(timeout=60)
    shown = b""
    try:
        while part := os.read(reader, 1 << 16):
            shown += part
    except OSError:  # how Linux says that the terminal is closed
        pass
    os.close(reader)
    assert started.returncode == 0
    assert all(json.loads(line) for line in output.splitlines())
    assert b"classifying" in shown
    assert b"3/" in shown


def test_ctrl_c_ends_it_without_a_traceback(waiting):
    started, _ = waiting
    started.send_signal(signal.SIGINT)
    status, output, errors = ended(started)
    assert status == 130
    assert output == ""
    assert "Traceback" not in errors


def test_a_reader_that_goes_away_ends_it_without_a_traceback(waiting):
    started, pipe = waiting
    started.stdout.close()
    with pipe.open("w") as stream:
        stream.write("junk\n")
    started.wait(timeout=60)
    assert "Traceback" not in started.stderr.read()
    started.stderr.close()


def test_a_service_without_standard_output_writes_its_file(process, ecgs, bundle, tmp_path):
    code = "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, '-m', 'ecoscale', *sys.argv[1:]])"
    path = tmp_path / "found.csv"
    arguments = ("predict", ecgs, "--bundle", bundle, "--output", path)
    status, _, errors = ended(process(*arguments, code=code))
    assert (status, errors) == (0, "")
    assert path.read_text().count("\n") == 4


def test_an_unknown_bundle_is_one_message_and_status_2(process, ecgs):
    status, output, errors = ended(process("predict", ecgs, "--bundle", "nosuch"))
    assert (status, output) == (2, "")
    assert errors.startswith("error: nosuch: no such bundle")
    assert len(errors.splitlines()) == 1


def test_without_torch_a_user_lacks_nothing(process, ecgs, exams, bundle):
    for arguments in (
        ("predict", ecgs, "--bundle", bundle, "--report", "report.html"),
        ("evaluate", bundle, exams, "--resamples", 2),
    ):
        status, _, errors = ended(process(*arguments, code=WITHOUT_TORCH))
        assert status == 0, errors


@pytest.mark.parametrize(
    "arguments", [("train", "recipe.yaml", "--data", "code15=a"), ("models",), ("pack", "run", "--out", "bundle")]
)
def test_without_torch_a_researcher_is_told_what_to_install(process, arguments):
    status, output, errors = ended(process(*arguments, code=WITHOUT_TORCH))
    assert (status, output) == (2, "")
    assert errors.startswith("error: ")
    assert "pip install 'ecoscale[train]'" in errors
    assert len(errors.splitlines()) == 1


def test_predict_imports_neither_torch_nor_what_it_does_not_need(process, ecgs, bundle):
    """Each would add a good part of a second to every call: torch, pandas, scipy, and matplotlib without a report."""
    code = (
        "import atexit, sys\n"
        "heavy = ('torch', 'lightning', 'onnx', 'pandas', 'sklearn', 'scipy', 'matplotlib', 'wfdb')\n"
        "heavy += ('h5py', 'pydicom', 'pyarrow', 'jinja2', 'yaml')\n"
        "atexit.register(lambda: print([name for name in heavy if name in sys.modules], file=sys.stderr))\n"
        "from ecoscale.cli import app\n"
        "app()"
    )
    status, _, errors = ended(process("predict", ecgs, "--bundle", bundle, code=code))
    assert (status, errors) == (0, "[]\n")


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak of one process is asked of Linux")  # noqa: PTH110
def test_one_record_takes_little_memory(process, ecgs):
    # Not getrusage: what that says begins with the memory of the process that started this one.
    code = (
        "import atexit, pathlib, re, sys\n"
        "status = pathlib.Path('/proc/self/status')\n"
        "atexit.register(lambda: print(re.search(r'VmHWM:\\s+(\\d+)', status.read_text())[1], file=sys.stderr))\n"
        "from ecoscale.cli import app\n"
        "app()"
    )
    status, _, kilobytes = ended(process("predict", ecgs / "good-AF.hea", code=code))
    assert status == 0
    assert int(kilobytes) < 250_000


def test_importing_the_package_imports_next_to_nothing(process):
    code = "import sys, ecoscale; print([name for name in ('numpy', 'onnxruntime', 'torch') if name in sys.modules])"
    assert ended(process(code=code)) == (0, "[]\n", "")
