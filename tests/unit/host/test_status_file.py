from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from traffic_aggr.errors import StateError, StatusFlagError
from traffic_aggr.host.status_file import FAILURE, RUNNING, SUCCESS, Status, StatusFile
from traffic_aggr.traffic.job import TRAFFIC

SAMPLE = b"""\
#traffic adhoc aggregation: process status
MNAAS_Daily_ProcessStatusFlag=0
MNAAS_Daily_ProcessName=MNAAS_traffic_aggr_adhoc_table_loading
MNAAS_Script_Process_Id=48213
MNAAS_job_status=Success
MNAAS_job_ran_time=2021-05-03 02:41:17
MNAAS_email_sdp_created=No
MNAAS_Feed_FileProcessTime=2021-05-03 01:58
"""
KEYS = (
    "MNAAS_Daily_ProcessStatusFlag",
    "MNAAS_Daily_ProcessName",
    "MNAAS_job_status",
    "MNAAS_job_ran_time",
    "MNAAS_Script_Process_Id",
    "MNAAS_email_sdp_created",
)
EVERYTHING: dict[str, Any] = {
    "flag": 2,
    "process_name": TRAFFIC.step_names[1],
    "job_status": RUNNING,
    "ran_time": "2021-05-04 02:02:00",
    "process_id": 4711,
    "ticket_created": True,
}
foreign_line = st.binary(max_size=30).filter(
    lambda line: b"\n" not in line and not any(key.encode() in line for key in KEYS)
)

# How long it takes to make examples says something about the machine, not about what they try.
on_busy_machines = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "status"
    path.write_bytes(SAMPLE)
    return path


def no_sleep(seconds: float) -> None:
    pass


def status_file(path: Path) -> StatusFile:
    return StatusFile(str(path), sleep=no_sleep)


def sed(expression: str, path: Path) -> None:
    subprocess.run(["sed", "-i", expression, str(path)], check=True)


# ---- reading


def test_the_old_jobs_file_is_understood(path: Path) -> None:
    assert status_file(path).read() == Status(
        flag=0,
        process_name="MNAAS_traffic_aggr_adhoc_table_loading",
        job_status=SUCCESS,
        ran_time="2021-05-03 02:41:17",
        process_id=48213,
        ticket_created=False,
    )


@pytest.mark.parametrize("content", [None, b"", b"# nothing\n"], ids=["missing", "empty", "without our keys"])
def test_without_keys_the_job_is_idle(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "status"
    if content is not None:
        path.write_bytes(content)
    assert status_file(path).read() == Status(0, "", "", "", None, False)


@pytest.mark.parametrize(
    "line",
    [
        b"MNAAS_Daily_ProcessStatusFlag=2",
        b"MNAAS_Daily_ProcessStatusFlag=2\r",
        b'MNAAS_Daily_ProcessStatusFlag="2"',
        b"MNAAS_Daily_ProcessStatusFlag='2'   # forced by ops",
        b"export MNAAS_Daily_ProcessStatusFlag=2",
        b"  MNAAS_Daily_ProcessStatusFlag = 2  ",
        b"MNAAS_Daily_ProcessStatusFlag=2 # forced by ops",
        b"\xef\xbb\xbfMNAAS_Daily_ProcessStatusFlag=2",
        b"MNAAS_Daily_ProcessStatusFlag=9\nMNAAS_Daily_ProcessStatusFlag=2",
        b"#MNAAS_Daily_ProcessStatusFlag=1\nMNAAS_Daily_ProcessStatusFlag=2\nXMNAAS_Daily_ProcessStatusFlag=3",
    ],
    ids=[
        "plain",
        "CRLF",
        "double quotes",
        "single quotes and comment",
        "export",
        "blanks",
        "comment",
        "byte order mark",
        "last of two",
        "not in comments or other keys",
    ],
)
@pytest.mark.parametrize("end", [b"\n", b""], ids=["line feed", "no line feed"])
def test_a_flag_is_read_however_it_was_edited(path: Path, line: bytes, end: bytes) -> None:
    path.write_bytes(line + end)
    assert status_file(path).read().flag == 2


@pytest.mark.parametrize(
    "value",
    [b"4", b"-1", b"", b"one", b"1.0", b"01", b"1 2", b"\xb2", b"1\x00", b"9" * 5000],
    ids=["4", "negative", "empty", "word", "decimal", "octal", "two", "not UTF-8", "NUL", "long"],
)
def test_any_other_flag_is_refused_with_the_place_and_what_to_set(path: Path, value: bytes) -> None:
    path.write_bytes(SAMPLE.replace(b"Flag=0", b"Flag=" + value))
    with pytest.raises(StatusFlagError) as caught:
        status_file(path).read()
    message = str(caught.value)
    assert f"{path} line 2: MNAAS_Daily_ProcessStatusFlag is " in message
    assert "MNAAS_Daily_ProcessStatusFlag=0 to start afresh" in message
    assert len(message) < 400
    assert message.isprintable()


@pytest.mark.parametrize(
    ("value", "created"), [(b"Yes", True), (b"YES", True), (b'"yes"', True), (b"No", False), (b"", False)]
)
def test_whether_a_ticket_is_out_is_known_even_with_a_broken_flag(path: Path, value: bytes, created: bool) -> None:
    path.write_bytes(SAMPLE.replace(b"Flag=0", b"Flag=broken").replace(b"created=No", b"created=" + value))
    assert status_file(path).ticket_created() is created


@pytest.mark.parametrize("value", [b"", b"none", b"-3", b"1" * 5000], ids=["empty", "word", "negative", "long"])
def test_a_process_id_that_is_none_counts_as_missing(path: Path, value: bytes) -> None:
    path.write_bytes(SAMPLE.replace(b"48213", value))
    assert status_file(path).read().process_id is None


@pytest.mark.parametrize("kind", ["directory", "link to a directory", "pipe", "file as parent", "link loop"])
def test_what_is_no_readable_file_is_an_error_that_names_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "status"
    if kind == "directory":
        path.mkdir()
    elif kind == "link to a directory":
        path.symlink_to(tmp_path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link loop":
        path.symlink_to(path)
    else:
        path.touch()
        path = path / "status"
    for use in (status_file(path).read, lambda: status_file(path).update(flag=1)):
        with pytest.raises(StateError, match=str(path)):
            use()


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Root would read every file."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_an_unreadable_file_is_an_error_and_not_idle(path: Path) -> None:
    path.chmod(0)
    with ordinary_user(), pytest.raises(StateError, match="Permission denied"):
        status_file(path).read()


# ---- updating


def test_what_was_updated_is_read_back(path: Path) -> None:
    status_file(path).update(**EVERYTHING)
    assert status_file(path).read() == Status(**EVERYTHING)


def test_steps_have_the_old_names() -> None:
    assert TRAFFIC.step_names == (
        "MNAAS_remove_partitions_from_the_table",
        "MNAAS_traffic_aggr_adhoc_inter_table_loading",
        "MNAAS_traffic_aggr_adhoc_table_loading",
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (SAMPLE, SAMPLE.replace(b"Flag=0", b"Flag=3")),
        (SAMPLE.replace(b"\n", b"\r\n"), SAMPLE.replace(b"Flag=0", b"Flag=3").replace(b"\n", b"\r\n")),
        (SAMPLE[:-1], SAMPLE[:-1].replace(b"Flag=0", b"Flag=3")),
        (
            SAMPLE + b"MNAAS_Daily_ProcessStatusFlag=1",
            SAMPLE.replace(b"Flag=0", b"Flag=3") + b"MNAAS_Daily_ProcessStatusFlag=3",
        ),
        (
            SAMPLE.replace(b"MNAAS_Daily_ProcessStatusFlag=0", b'export MNAAS_Daily_ProcessStatusFlag = "0" # x'),
            SAMPLE.replace(b"MNAAS_Daily_ProcessStatusFlag=0", b'export MNAAS_Daily_ProcessStatusFlag="3"'),
        ),
        (
            SAMPLE + b"\xff\x00\r\r\n\n  odd = line \\\n",
            SAMPLE.replace(b"Flag=0", b"Flag=3") + b"\xff\x00\r\r\n\n  odd = line \\\n",
        ),
    ],
    ids=["plain", "CRLF", "no last line feed", "twice", "export and quotes", "bytes that are no text"],
)
def test_only_the_value_changes(path: Path, before: bytes, after: bytes) -> None:
    path.write_bytes(before)
    status_file(path).update(flag=3)
    assert path.read_bytes() == after


@pytest.mark.parametrize("key", KEYS)
def test_the_result_is_that_of_the_old_jobs_sed(path: Path, key: str) -> None:
    path.write_bytes(SAMPLE + SAMPLE)
    values = dict(zip(KEYS, ("2", TRAFFIC.step_names[1], "Running", "2021-05-04 02:02:00", "4711", "Yes")))
    arguments = dict(zip(KEYS, ("flag", "process_name", "job_status", "ran_time", "process_id", "ticket_created")))
    by_sed = path.with_name("by_sed")
    shutil.copy(path, by_sed)
    sed(f"s/^{key}=.*/{key}={values[key]}/", by_sed)
    status_file(path).update(**{arguments[key]: EVERYTHING[arguments[key]]})
    assert path.read_bytes() == by_sed.read_bytes()


@pytest.mark.parametrize(
    ("content", "expected_start"),
    [
        (b"OTHER=1", b"OTHER=1\nMNAAS_Daily_ProcessStatusFlag=1\n"),
        (b"OTHER=1\r\nX=2", b"OTHER=1\r\nX=2\r\nMNAAS_Daily_ProcessStatusFlag=1\r\n"),
        (b"", b"MNAAS_Daily_ProcessStatusFlag=1\n"),
    ],
    ids=["no last line feed", "CRLF", "empty"],
)
def test_missing_keys_are_appended(path: Path, content: bytes, expected_start: bytes) -> None:
    path.write_bytes(content)
    status_file(path).update(flag=1)
    assert path.read_bytes().startswith(expected_start)
    assert status_file(path).read() == Status(1, "", "", "", None, False)


def test_a_missing_file_is_created_private_with_all_keys(tmp_path: Path) -> None:
    path = tmp_path / "new" / "dir" / "status"
    status_file(path).update(flag=1, ticket_created=True)
    assert [line.split("=")[0] for line in path.read_text().splitlines()] == list(KEYS)
    assert [stat.S_IMODE(p.stat().st_mode) for p in (path, path.parent, path.parent.parent)] == [0o600, 0o700, 0o700]


def test_mode_and_owner_are_kept(path: Path) -> None:
    path.chmod(0o664)
    if os.geteuid() == 0:
        os.chown(path, 1, 2)
    before = path.stat()
    status_file(path).update(flag=1)
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_symbolic_link_stays_one_and_its_target_is_written(path: Path) -> None:
    link = path.parent / "links" / "link"
    link.parent.mkdir()
    link.symlink_to("../status")
    status_file(link).update(flag=1)
    assert os.readlink(link) == "../status"
    assert b"Flag=1\n" in path.read_bytes()
    assert sorted(p.name for p in link.parent.iterdir()) == ["link", "link.lock"]


def test_a_link_to_a_file_that_is_not_there_yet_counts_as_idle_and_gets_its_target(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("shared/status")
    assert status_file(link).read().flag == 0
    status_file(link).update(**EVERYTHING)
    assert link.is_symlink()
    assert StatusFile(str(tmp_path / "shared" / "status")).read() == Status(**EVERYTHING)


def test_a_broken_flag_can_be_mended_by_an_update(path: Path) -> None:
    path.write_bytes(SAMPLE.replace(b"Flag=0", b"Flag=broken"))
    status_file(path).update(job_status=FAILURE)
    with pytest.raises(StatusFlagError):
        status_file(path).read()
    status_file(path).update(flag=0)
    assert status_file(path).read().job_status == FAILURE


@pytest.mark.parametrize(
    "change",
    [{"flag": 4}, {"process_name": "a\nb"}, {"job_status": 'x"'}, {"ran_time": "$(date)"}],
    ids=["flag", "line feed", "quote", "shell"],
)
def test_a_value_that_would_harm_the_file_is_refused(path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"cannot be|not a valid"):
        status_file(path).update(**change)
    assert path.read_bytes() == SAMPLE


def test_no_temporary_file_stays_after_a_failed_update(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateError, match="No space left on device"):
        status_file(path).update(flag=1)
    assert path.read_bytes() == SAMPLE
    assert sorted(p.name for p in path.parent.iterdir()) == ["status", "status.lock"]


def test_a_lock_that_another_program_keeps_is_waited_for_and_then_named(path: Path) -> None:
    slept: list[float] = []
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StateError, match=rf"{path}\.lock"):
            StatusFile(str(path), sleep=slept.append).update(flag=1)
    assert sum(slept) == pytest.approx(30, rel=0.1)


# ---- together with sed


def test_a_sed_between_reading_and_renaming_is_not_lost(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync, interruptions = os.fsync, [1, 2]

    def sync_while_sed_runs(descriptor: int) -> None:
        sync(descriptor)
        if interruptions:
            sed(f"s/^MNAAS_Feed_FileProcessTime=.*/MNAAS_Feed_FileProcessTime={interruptions.pop()}/", path)

    monkeypatch.setattr(os, "fsync", sync_while_sed_runs)
    status_file(path).update(flag=2)
    assert b"Flag=2\n" in path.read_bytes()
    assert b"MNAAS_Feed_FileProcessTime=1\n" in path.read_bytes()


def test_a_file_with_the_same_content_that_sed_put_in_its_place_is_noticed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync
    written: list[int] = []

    def sync_while_sed_runs(descriptor: int) -> None:
        sync(descriptor)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            written.append(descriptor)
            if len(written) == 1:
                sed("s/x/x/", path)

    monkeypatch.setattr(os, "fsync", sync_while_sed_runs)
    status_file(path).update(flag=2)
    assert len(written) == 2


def test_a_sed_that_read_before_and_renames_after_does_not_undo_the_update(path: Path) -> None:
    stale = path.with_name("sedXXXX")
    shutil.copy(path, stale)
    sed("s/^MNAAS_Feed_FileProcessTime=.*/MNAAS_Feed_FileProcessTime=now/", stale)

    def sed_ends(seconds: float) -> None:
        if stale.exists():
            stale.rename(path)

    StatusFile(str(path), sleep=sed_ends).update(flag=2, job_status=RUNNING)
    assert status_file(path).read().flag == 2
    assert b"MNAAS_Feed_FileProcessTime=now\n" in path.read_bytes()


def test_a_flag_that_an_operator_sets_right_after_is_left(path: Path) -> None:
    def operator(seconds: float) -> None:
        sed("s/^MNAAS_Daily_ProcessStatusFlag=.*/MNAAS_Daily_ProcessStatusFlag=3/", path)

    StatusFile(str(path), sleep=operator).update(flag=2)
    assert status_file(path).read().flag == 3


def test_an_editor_that_never_stops_is_an_error_after_a_bounded_number_of_tries(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def sync_while_it_edits(descriptor: int) -> None:
        sync(descriptor)
        path.write_bytes(path.read_bytes() + b"#\n")

    monkeypatch.setattr(os, "fsync", sync_while_it_edits)
    with pytest.raises(StateError, match="changed by another program"):
        status_file(path).update(flag=1)
    assert sorted(p.name for p in path.parent.iterdir()) == ["status", "status.lock"]


UPDATER = """
import sys
from traffic_aggr.host.status_file import StatusFile
path, argument = sys.argv[1:]
for number in range(1, 11):
    StatusFile(path).update(**{argument: number if argument == "process_id" else f"round {number}"})
"""
SED_LOOP = r"""
i=0
while [ ! -e "$1.stop" ]; do
  i=$((i+1))
  sed -i "s/^MNAAS_Feed_FileProcessTime=.*/MNAAS_Feed_FileProcessTime=$i/" "$1"
done
"""


def test_updates_by_several_processes_survive_each_other_and_a_running_sed(path: Path) -> None:
    foreign = b"# caf\xe9 \x00\n"
    path.write_bytes(foreign + SAMPLE)
    with subprocess.Popen(["bash", "-c", SED_LOOP, "sed-loop", str(path)]) as sed_loop:
        arguments = ("process_id", "ran_time", "process_name")
        updaters = [subprocess.Popen([sys.executable, "-c", UPDATER, str(path), name]) for name in arguments]
        codes = [updater.wait(timeout=120) for updater in updaters]
        Path(f"{path}.stop").touch()
    assert (codes, sed_loop.returncode) == ([0, 0, 0], 0)
    found = status_file(path).read()
    assert (found.process_id, found.ran_time, found.process_name) == (10, "round 10", "round 10")
    lines = path.read_bytes().splitlines(keepends=True)
    assert lines[0] == foreign
    assert [line.split(b"=")[0] for line in lines[1:]] == [line.split(b"=")[0] for line in SAMPLE.splitlines(True)]
    assert not lines[-1].endswith(b"01:58\n")


# ---- any content


@on_busy_machines
@given(lines=st.lists(foreign_line, max_size=5), position=st.integers(0, 5), end=st.sampled_from([b"\n", b"\r\n"]))
def test_foreign_lines_survive_whatever_their_bytes(lines: list[bytes], position: int, end: bytes) -> None:
    before = [line + end for line in lines[:position]]
    after = [line + end for line in lines[position:]]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "status")
        path.write_bytes(b"".join([*before, SAMPLE, *after]))
        status_file(path).update(flag=2)
        assert path.read_bytes() == b"".join([*before, SAMPLE.replace(b"Flag=0", b"Flag=2"), *after])


@on_busy_machines
@given(content=st.binary(max_size=200))
def test_any_content_is_read_or_refused_and_can_be_updated(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "status")
        path.write_bytes(content)
        status_file(path).read()
        status_file(path).update(**EVERYTHING)
        assert path.read_bytes().startswith(content)
        assert status_file(path).read() == Status(**EVERYTHING)


def test_a_file_cut_off_anywhere_is_read_or_refused_and_complete_after_an_update(path: Path) -> None:
    quoted = SAMPLE.replace(b"2021-05-03 02:41:17", b'"2021-05-03 02:41:17"').replace(b"\n", b"\r\n")
    for sample in (SAMPLE, quoted):
        for length in range(len(sample)):
            path.write_bytes(sample[:length])
            with contextlib.suppress(StatusFlagError):
                status_file(path).read()
            status_file(path).update(**EVERYTHING)
            assert status_file(path).read() == Status(**EVERYTHING)
            assert all(path.read_bytes().count(key.encode() + b"=") == 1 for key in KEYS)


def cut_off(content: bytes, length: int) -> bytes:
    return content[:length]


def end_zeroed(content: bytes, length: int) -> bytes:
    """As file systems leave a file whose last blocks a power cut lost."""
    return content[:length] + b"\x00" * (len(content) - length)


@pytest.mark.parametrize("damage", [cut_off, end_zeroed])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_a_damaged_file_never_shows_another_step_than_it_had(
    path: Path, damage: Callable[[bytes, int], bytes], line_end: bytes
) -> None:
    for flag in range(4):
        whole = SAMPLE.replace(b"Flag=0", b"Flag=%d" % flag).replace(b"\n", line_end)
        flag_at = whole.index(b"Flag=") + len("Flag=")
        for length in range(len(whole)):
            path.write_bytes(damage(whole, length))
            try:
                found = status_file(path).read().flag
            except StatusFlagError:
                assert length <= flag_at + len(line_end), "the flag's line is whole"
            else:
                assert found == (flag if length > flag_at else 0), (length, found)


def test_a_file_whose_end_was_zeroed_is_complete_after_an_update_that_keeps_the_zeros(path: Path) -> None:
    for length in range(len(SAMPLE)):
        damaged = end_zeroed(SAMPLE, length)
        path.write_bytes(damaged)
        status_file(path).update(**EVERYTHING)
        assert status_file(path).read() == Status(**EVERYTHING)


def test_of_a_key_that_stands_twice_the_last_counts_even_if_it_is_broken(path: Path) -> None:
    path.write_bytes(SAMPLE.replace(b"\n", b"\r\n") + b"MNAAS_Daily_ProcessStatusFlag=")
    with pytest.raises(StatusFlagError, match="line 9: "):
        status_file(path).read()
