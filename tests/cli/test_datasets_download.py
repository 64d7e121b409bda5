"""`ecoscale datasets download`: from a publisher's server to a collection that opens, stopped and killed on the way."""

import io
import os
import pty
import signal
import zipfile

import pytest

from ecoscale.datasets import PTBXL, Chapman, Code15, list_collections, open_collection
from ecoscale.datasets.layouts import write_wfdb
from ecoscale.datasets.synthetic import synthetic_ecg
from publisher import Fault, zenodo_path

PTBXL_ROOT = "/files/ptb-xl/1.0.3"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "collection"


@pytest.fixture(scope="session")
def tree(recordings):
    """The files of 20 real PTB-XL records as published, by path."""
    native = recordings / "ptbxl-native"
    return {path.relative_to(native).as_posix(): path.read_bytes() for path in native.rglob("*") if path.is_file()}


@pytest.fixture
def parts(exams):
    """A CODE-15% as Zenodo serves it: each part in a zip, the table beside them."""
    files = {"exams.csv": (exams / "exams.csv").read_bytes()}
    for path in exams.glob("*.hdf5"):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.write(path, path.name)
        files[path.with_suffix(".zip").name] = stream.getvalue()
    return files


@pytest.fixture
def fetch(run, folder):
    """The command in this process: `fetch("ptbxl", base, ...)`, into `folder`, without waiting between attempts."""
    return lambda name, base, *options: run(
        "datasets", "download", name, folder, "--mirror", base, "--retry-wait", 0, *options
    )


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".ecoscale-download")
    }


def test_a_physionet_collection_opens_once_downloaded(publisher, fetch, folder, tree):
    result = fetch("ptbxl", publisher.physionet("ptb-xl/1.0.3", tree))
    assert result.exit_code == 0, result.stderr
    assert contents(folder) == tree
    collection = open_collection(folder)
    assert isinstance(collection, PTBXL)
    assert len(collection) == 20
    assert collection.read(collection.records.index[0]).n_leads == 12


def test_licence_and_source_come_first_and_one_line_at_the_end(publisher, fetch, folder, tree):
    result = fetch("ptbxl", publisher.physionet("ptb-xl/1.0.3", tree))
    assert result.stderr.splitlines() == ["PTB-XL 1.0.3", "Licence: CC BY 4.0", f"Cite: {PTBXL.source}"]
    (line,) = result.stdout.splitlines()
    n_files, size = len(tree), sum(map(len, tree.values())) / 1e6
    assert line.startswith(f"{n_files} of {n_files} files verified in {folder}: 0 were there, {size:.1f} MB came in ")
    again = fetch("ptbxl", publisher.physionet("ptb-xl/1.0.3", tree))
    assert f"{n_files} were there, 0 bytes came in " in again.stdout


def test_a_chapman_tree_opens_once_downloaded(publisher, fetch, folder, tmp_path):
    written = tmp_path / "written"
    write_wfdb(written, [synthetic_ecg(["AF"], seed=1, record="JS00001")])
    files = {f"WFDBRecords/01/010/{name}": (written / name).read_bytes() for name in ("JS00001.hea", "JS00001.dat")}
    assert fetch("chapman", publisher.physionet("ecg-arrhythmia/1.0.0", files)).exit_code == 0
    assert isinstance(open_collection(folder), Chapman)


def test_parts_of_code15_are_unpacked_and_open(publisher, fetch, folder, parts, exams):
    base = publisher.zenodo("4916206", parts)
    assert fetch("code15", base).exit_code == 0
    assert contents(folder) == {path.name: path.read_bytes() for path in exams.iterdir()}
    assert isinstance(open_collection(folder), Code15)
    assert len(open_collection(folder)) == len(open_collection(exams))
    publisher.sent.clear()
    assert fetch("code15", base).exit_code == 0
    assert list(publisher.sent) == ["/api/records/4916206"]


def test_one_part_is_enough_and_its_archive_may_be_kept(publisher, fetch, folder, parts):
    base = publisher.zenodo("4916206", parts)
    result = fetch("code15", base, "--only", "exams.csv", "--only", "exams_part0.*", "--keep-archives")
    assert result.exit_code == 0
    assert sorted(contents(folder)) == ["exams.csv", "exams_part0.hdf5", "exams_part0.zip"]
    assert "20 of 40 exams" in open_collection(folder).notes[0]


def test_a_dry_run_says_what_would_come_and_writes_nothing(publisher, fetch, folder, parts):
    base = publisher.zenodo("4916206", parts)
    result = fetch("code15", base, "--dry-run")
    assert result.exit_code == 0
    files, to_fetch, room = result.stdout.splitlines()
    assert files == f"files     3, of which 0 are whole in {folder}"
    assert to_fetch == f"to fetch  about {sum(map(len, parts.values())) / 1e6:.1f} MB in 3 files"
    assert room.startswith("room      about ")
    assert not folder.exists()


def test_without_room_nothing_is_fetched(publisher, fetch, folder, parts, monkeypatch):
    base = publisher.zenodo("4916206", parts)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("usage", (), {"free": 1_000_000}))
    for options in ((), ("--dry-run",)):
        result = fetch("code15", base, *options)
        assert result.exit_code == 2
        assert "are needed there (estimated), and 1.0 MB are free; make room" in result.stderr
    assert not folder.exists()


def test_files_that_fail_are_listed_and_the_others_are_there(publisher, fetch, folder, parts):
    base = publisher.zenodo("4916206", parts)
    publisher.always[zenodo_path("4916206", "exams_part0.zip")] = Fault(content=b"X" * len(parts["exams_part0.zip"]))
    publisher.faults[zenodo_path("4916206", "exams_part1.zip")] = [Fault(status=429, headers={"Retry-After": "0"})]
    result = fetch("code15", base)
    assert result.exit_code == 1
    assert "failed: exams_part0.zip: the checksum is md5:" in result.stderr
    assert result.stderr.splitlines()[-1] == "1 failed; the same command tries again"
    assert result.stdout.startswith("2 of 3 files verified")
    assert sorted(contents(folder)) == ["exams.csv", "exams_part1.hdf5"]
    publisher.always.clear()
    assert fetch("code15", base).exit_code == 0
    assert len(open_collection(folder)) == 40


def test_a_collection_that_cannot_be_downloaded_says_where_to_ask(run, folder, monkeypatch):
    monkeypatch.setattr(Code15, "archive", None)
    result = run("datasets", "download", "code15", folder)
    assert result.exit_code == 2
    assert f"CODE-15% cannot be downloaded without asking: see {Code15.source}" in result.stderr


def test_an_unknown_name_is_answered_by_those_there_are(run, folder):
    result = run("datasets", "download", "nosuch", folder)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"error: no collection 'nosuch'; there are {', '.join(list_collections())}\n"


def started(process, folder, base, **options):
    command = ("datasets", "download", "code15", folder, "--mirror", base, "--retry-wait", 0, "--connections", 1)
    return process(*command, **options)


@pytest.fixture
def interrupted(publisher, process, folder, parts):
    """A download of which the table and 150,000 bytes of a part have come, and which waits for the rest."""
    publisher.zenodo("4916206", parts)
    # Asking for the rest proves that what came before was written.
    publisher.faults[zenodo_path("4916206", "exams_part0.zip")] = [Fault(drop_after=150_000), Fault(stall=True)]
    download = started(process, folder, f"{publisher.url}/api")
    assert publisher.stalled.wait(60)
    yield download
    if download.poll() is None:
        download.kill()
    download.communicate()


def goes_on(publisher, process, folder, parts, exams):
    """The same command again completes, and fetches only what had not come."""
    publisher.let_go.set()
    before = publisher.sent.copy()
    again = started(process, folder, f"{publisher.url}/api")
    output, errors = again.communicate(timeout=60)
    assert again.returncode == 0, errors
    assert output.startswith("3 of 3 files verified")
    assert contents(folder) == {path.name: path.read_bytes() for path in exams.iterdir()}
    sent = publisher.sent - before
    part = zenodo_path("4916206", "exams_part0.zip")
    assert sent[zenodo_path("4916206", "exams.csv")] == 0
    assert sent[part] == len(parts["exams_part0.zip"]) - 150_000


def test_killed_it_goes_on_where_it_was(publisher, process, folder, parts, exams, interrupted):
    interrupted.send_signal(signal.SIGKILL)
    assert interrupted.wait(60) == -signal.SIGKILL
    goes_on(publisher, process, folder, parts, exams)


def test_stopped_by_ctrl_c_it_says_how_to_go_on(publisher, process, folder, parts, exams, interrupted):
    interrupted.send_signal(signal.SIGINT)
    output, errors = interrupted.communicate(timeout=60)
    assert (interrupted.returncode, output) == (130, "")
    assert errors.splitlines()[-1] == "stopped; what has come is kept, and the same command goes on from there"
    assert "Traceback" not in errors
    goes_on(publisher, process, folder, parts, exams)


def test_progress_is_shown_where_standard_error_is_a_terminal(publisher, process, folder, parts):
    base = publisher.zenodo("4916206", parts)
    reader, writer = pty.openpty()
    download = started(process, folder, base, stderr=writer)
    os.close(writer)
    output, _ = download.communicate(timeout=60)
    shown = b""
    try:
        while some := os.read(reader, 1 << 16):
            shown += some
    except OSError:  # how Linux says that the terminal is closed
        pass
    os.close(reader)
    assert download.returncode == 0
    assert len(output.splitlines()) == 1
    assert b"3/3 files" in shown
    assert b"MB/s" in shown
