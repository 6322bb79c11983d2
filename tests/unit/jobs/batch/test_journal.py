"""Journal: durable lines, torn ones, damaged ones."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from penstock.core.errors import JobFailed, JobOutputError
from penstock.jobs.batch.journal import Done, Journal, Planned, Redo, Skipped, read_ledger
from penstock.jobs.batch.report import SplitTally
from penstock.jobs.batch.sink import Receipt


def done(name: str, rows: int = 3) -> Done:
    return Done(name, f"file-{name}", Receipt(rows), SplitTally(rows_in=rows, rows_out=rows))


def reopened(journal: Journal, path: Path) -> Journal:
    journal.close()
    return Journal(path)


def test_what_was_written_is_there_after_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for entry in (Planned(4), done("a"), Skipped("b", "file-b", "cut off"), done("c"), Redo("a")):
        journal.append(entry)

    journal = reopened(journal, path)

    assert list(journal.done) == ["c"]
    assert journal.skipped["b"].reason == "cut off"
    assert journal.num_splits == 4
    assert journal.tally().rows_out == 3
    journal.append(done("b"))
    assert journal.skipped == {}
    journal.close()


@pytest.mark.parametrize("kept", range(1, 20))
def test_a_line_that_a_crash_has_cut_off_is_forgotten(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(done("a"))
    whole = path.read_bytes()
    journal.append(done("b"))
    torn = path.read_bytes()[: len(whole) + kept]
    path.write_bytes(torn)

    assert list(read_ledger(path).done) == ["a"]
    journal = reopened(journal, path)
    journal.append(done("c"))

    assert list(reopened(journal, path).done) == ["a", "c"]


def test_a_damaged_line_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"type":"planned","num_splits":1}\n{"type":"done"}\n')

    with pytest.raises(JobFailed, match=r"journal\.jsonl:2: the journal is damaged"):
        Journal(path)


def test_a_full_disk_leaves_the_journal_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(done("a"))
    before = path.read_bytes()
    write = os.pwrite

    def full(file: int, data: bytes, offset: int) -> int:
        write(file, data[:10], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(JobOutputError, match="No space left"):
            journal.append(done("b"))

    assert path.read_bytes() == before
    assert list(journal.done) == ["a"]
    journal.append(done("c"))
    assert list(reopened(journal, path).done) == ["a", "c"]


def test_a_journal_that_cannot_be_opened_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    before = list(Path("/proc/self/fd").iterdir())
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(JobOutputError, match="cannot be written"):
        Journal(tmp_path / "journal.jsonl")
    assert len(list(Path("/proc/self/fd").iterdir())) == len(before)
