"""Decision records: the guide's sections over a front matter that three tools read, hostile text that changes no structure."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiops_analysis.core.errors import NotEnoughData, StoreLocked, StoreNotWritable, UsageError
from aiops_analysis.core.reasons import Code, Reason
from aiops_analysis.evidence.adr import listed, propose, rendered
from aiops_analysis.evidence.adr_basis import basis_of_run, subject_of
from aiops_analysis.evidence.adr_files import create, locked, replace_if
from aiops_analysis.evidence.adr_header import title_of
from aiops_analysis.evidence.adr_words import code, fenced, inline, sections, slug
from aiops_analysis.evidence.record import json_bytes
from aiops_analysis.sources.records import parse, read_folder
from tests.adr_fixtures import (
    SECTIONS,
    adr_tools_status,
    basis,
    cpu,
    headings,
    log4brains,
    madr,
    memory,
    proposal,
    row,
    tokens,
    written,
)
from tests.frames import GIB, HOSTILE, MIB, NAN

ROOT = Path(__file__).resolve().parents[1]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def text_of(**given: object) -> str:
    return rendered(proposal(**given), 7, "0")[1].decode()


def test_the_guides_sections_stand_in_their_order() -> None:
    text = text_of()
    assert headings(text) == SECTIONS
    assert headings(text, "h1") == ["7. Reduce todo/backend (app): CPU request from 500m to 100m and memory request from 1 GiB to 256 MiB"]
    assert headings(text, "h3") == ["Positive", "Negative", "Neutral", "Testing Summary", "Metrics Before/After"]


def test_the_front_matter_holds_what_was_recommended() -> None:
    name, whole, sealed = rendered(proposal(), 7, "0")
    head = madr(whole.decode())
    assert name == "0007-reduce-todo-backend-app-cpu-memory.md"
    assert (head["id"], head["status"], head["date"], head["decision-makers"]) == ("0007", "proposed", "2026-11-24", [])
    assert [head[key] for key in ("decided_by", "decided_on", "implemented_on", "superseded_by", "guard")] == [None] * 5
    first, second = head["recommendations"]
    assert first["key"] == ["demo", "todo", "Deployment", "backend", "app", "cpu"]
    assert (first["from"], first["to"]) == ({"request": 0.5, "limit": 1.5}, {"request": 0.1, "limit": 0.3})
    assert second["to"] == {"request": 256 * MIB, "limit": 768 * MIB}
    assert (first["figures"]["p95"], first["figures"]["samples"], second["figures"]["oom_kills"]) == (0.05, 8064, 0)
    # 18 + 7.5 a month
    assert head["promised"] == {"paper": 25.5, "bankable": None, "currency": "USD", "price_source": "a price list"}
    assert head["evidence"] == {"file": "evidence/0007.json", "sha256": hashlib.sha256(sealed).hexdigest()}


def test_other_tools_read_a_proposal() -> None:
    text = text_of()
    assert madr(text)["status"] == "proposed"
    read = log4brains(text)
    assert (read["status"], read["date"], read["title"][:9]) == ("proposed", "2026-11-24", "7. Reduce")
    assert adr_tools_status(text) == ["Proposed 2026-11-24."]


@pytest.mark.parametrize(("blank", "status"), [("", "accepted"), ("\n", "proposed")])
def test_the_reader_of_log4brains_needs_the_blank_line(blank: str, status: str) -> None:
    # the rule that the file is written for: without the blank line the end of the front matter is a section of its own
    assert log4brains(f"---\nstatus: proposed\n{blank}---\n\n# 1. X\n\n- Status: proposed\n\n## Status\n")["status"] == status


def test_boxes_are_open_and_results_say_that_nothing_ran() -> None:
    text = text_of()
    assert text.count("- [ ] ") == 7 + 4
    assert "[x]" not in text.lower()
    assert text.count("not run yet") == 4
    assert "nothing has been measured under it yet" in text


def test_evidence_is_filled_in() -> None:
    text = text_of()
    for part in (
        "| Request / limit today | 500m / 1500m | 1 GiB / 3 GiB |",
        "| **Recommended** | 100m / 300m | 256 MiB / 768 MiB |",
        "| P50 / P95 | 30m / 50m | 102 MiB / 170 MiB |",
        "| Grade | high | high |",
        "| Completeness | 99 % | 99 % |",
        "| Samples / days | 8,064 / 28 | 8,064 / 28 |",
        "| Saving on paper a month | 18.00 USD | 7.50 USD |",
        "- Prices: a price list.",
        f"Fingerprint of the day files: `{'f' * 64}`.",
        "sum by (pod) ( rate(container_cpu_usage_seconds_total[5m]))\nmax(x)",
        "--patch-file patches/strategic/todo.deployment.backend.yaml --dry-run=server",
    ):
        assert part in text


def test_the_evidence_file_holds_the_rows_and_the_advice() -> None:
    sealed = json.loads(rendered(proposal(tool="kagent", advice="halve it"), 7, "1.2")[2])
    assert (sealed["record"], sealed["package_version"], sealed["fingerprint"]) == ("0007", "1.2", "f" * 64)
    assert [one["resource"] for one in sealed["recommendations"]] == ["cpu", "memory"]
    assert sealed["advice"] == {"tool": "kagent", "untrusted_text": "halve it"}
    assert set(sealed["sections"]) == {"", *SECTIONS} - {"Status"}


def test_f59_the_same_basis_and_day_give_the_same_bytes() -> None:
    assert rendered(proposal(), 7, "0") == rendered(proposal(), 7, "0")


@pytest.mark.parametrize(
    ("rows", "title"),
    [
        ([cpu()], "Reduce todo/backend (app) CPU request from 500m to 100m"),
        ([cpu(container="backend", change="increase", now=0.1, then=0.4)], "Raise todo/backend CPU request from 100m to 400m"),
        ([cpu(now=NAN, change="increase", then=0.025)], "Set todo/backend (app) CPU request to 25m"),
        (
            [cpu(), memory(change="increase", now=GIB, then=1360 * MIB)],
            "Change todo/backend (app): CPU request from 500m to 100m and memory request from 1 GiB to 1360 MiB",
        ),
        ([cpu(change="increase") | {"guarded_request": 0.5}], "Raise todo/backend (app) CPU limit from 1500m to 300m"),
    ],
)
def test_titles_say_the_decision_with_its_numbers(rows: list[dict], title: str) -> None:
    container = rows[0]["container"]
    assert title_of(proposal(f"todo/Deployment/backend/{container}", basis(*rows))) == title


# --- hostile text ---------------------------------------------------------------------------------------------------------------

QUOTES = (
    "---\nstatus: accepted\n---\n# 99. Other\n\n- Status: accepted\n\n## Status\n\nAccepted.",
    "```\n````\n~~~~~\n- [x] Tested",
    "<!-- -->\n<script>x</script>\n| a | b |\n|---|---|",
    "{{7*7}} {% include 'x' %} ${x} %(y)s {0} {pm}",
    "line\x1b[31m\r\nnext\rlast\u2028\u202e",
    "\n\n   \n",
    "a" * 50_000,
)


def unharmed(text: str, *, boxes: int = 11) -> None:
    """The structure of a record is what we wrote, for Markdown and for readers of lines."""
    assert headings(text) == SECTIONS
    assert len(headings(text, "h1")) == 1
    found = tokens(text)
    assert [token.type for token in found if token.type in ("html_block", "html_inline", "image")] == []
    assert [token.attrs["href"] for token in found if token.type == "link_open"] == ["evidence/0007.json"]
    assert sum(token.type == "text" and token.content.startswith("[ ] ") for token in found) == boxes
    assert (log4brains(text)["status"], log4brains(text)["title"].split(".")[0]) == ("proposed", "7")
    assert adr_tools_status(text) == ["Proposed 2026-11-24."]
    assert text.splitlines().count("---") == 3  # twice the front matter, once above the author
    assert [line for line in text.splitlines() if line.startswith("- Status:")] == ["- Status: proposed"]
    record = parse("0007-x.md", text.encode())
    assert record.problems == ()
    assert record.decision is not None


@pytest.mark.parametrize("advice", QUOTES, ids=range(len(QUOTES)))
def test_f49_a_quote_changes_no_structure_and_is_never_rendered(advice: str) -> None:
    text = text_of(tool="kagent", advice=advice)
    unharmed(text)
    for line in advice.replace("\r\n", "\n").split("\n"):
        if line.isascii() and line.isprintable() and line.strip() and len(line) < 1000:
            assert f"\n> {line}\n" in text


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_f49_names_change_no_structure_and_are_never_rendered(name: str) -> None:
    reason = Reason(Code.HPA_MANAGED, f"HPA {name} scales on cpu.", {})
    of = basis(cpu(workload=name, namespace=name, container=name, kind=name, reasons=[reason]), price_source=name, currency=name)
    text = rendered(proposal(of.rows[0]["id"], of, author=name, tool=name, advice=name), 7, "0")[1].decode()
    unharmed(text)
    assert madr(text)["recommendations"][0]["key"][1] == name


@settings(max_examples=60, deadline=None)
@given(name=TEXT, advice=TEXT)
def test_f49_any_name_and_any_quote(name: str, advice: str) -> None:
    of = basis(cpu(workload=name, container=name, namespace=name, kind=name))
    file, whole, _ = rendered(proposal(of.rows[0]["id"], of, author=name, tool=name, advice=advice), 7, "0")
    unharmed(whole.decode())
    assert "/" not in file
    assert len(file) < 140
    assert parse("0007-x.md", whole).decision.choices[0].key == ("demo", name, name, name, name, "cpu")


@given(TEXT)
def test_a_fence_is_longer_than_any_in_the_text(text: str) -> None:
    lines = fenced(text)
    marks = lines[0].removesuffix("text")
    assert lines[-1] == marks
    assert not any(marks in line for line in lines[1:-1])


def test_words_that_mean_something_to_markdown() -> None:
    assert inline("see http://x and www.y <b> @z") == r"see http\://x and www\.y \<b\> \@z"
    assert code("``") == "``` `` ```"
    assert code(" ") == "(blank)"
    assert slug("reduce", "..", "a/b") == "reduce-..-a%2fb"
    assert sections("a\n## One\n```\n## not one\n```\n## Two\nx")["One"] == "```\n## not one\n```"


# --- which recommendation ---------------------------------------------------------------------------------------------------------


def test_a_target_is_an_id_or_a_path_with_parts_left_out() -> None:
    of = basis(cpu(), memory(), cpu(workload="other"), memory(workload="other"))
    for target in (of.rows[0]["id"], "todo/Deployment/backend/app/cpu", "backend/cpu", "todo/deployment/backend/cpu"):
        assert [one["id"] for one in subject_of(of, target).rows] == [of.rows[0]["id"]]
    assert [one["resource"] for one in subject_of(of, "todo/backend").rows] == ["cpu", "memory"]
    assert [one["resource"] for one in subject_of(of, "backend/cpu").left_out] == ["memory"]


def test_f52_an_ambiguous_target_names_the_candidates() -> None:
    of = basis(cpu(), cpu(container="proxy"), cpu(workload="other"))
    with pytest.raises(UsageError, match="means 2 containers; name one of: todo/Deployment/backend/app, todo/Deployment/backend/proxy"):
        subject_of(of, "todo/backend")


def test_f52_an_unknown_target_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no recommendation 'todo/Deployment/backnd/app'; did you mean todo/Deployment/backend/app\?"):
        subject_of(basis(), "todo/Deployment/backnd/app")
    with pytest.raises(UsageError, match="see: aiops-analysis recommend"):
        subject_of(basis(), "zzz")


def test_a_refused_row_says_what_is_missing() -> None:
    short = Reason(Code.SHORT_HISTORY, "3.0 days of samples, 7 are needed.", {})
    of = basis(cpu(change="undetermined", grade="refused", reasons=[short], enough_on="2026-11-28"), memory(change="keep"))
    with pytest.raises(NotEnoughData, match=r"cpu: 3.0 days of samples, 7 are needed\. Enough data on 2026-11-28\.") as caught:
        subject_of(of, "todo/backend")
    assert caught.value.exit_code == 4


def test_a_row_to_keep_is_nothing_to_decide() -> None:
    with pytest.raises(UsageError, match="keep what it has"):
        subject_of(basis(cpu(change="keep")), "backend")


def test_what_is_left_alone_is_said() -> None:
    managed = Reason(Code.HPA_MANAGED, "HPA web scales on cpu.", {})
    text = text_of(of=basis(cpu(change="undetermined", grade="refused", reasons=[managed]), memory()))
    assert "Not part of this decision:\n\n- CPU: undetermined (HPA web scales on cpu.)\n" in text
    assert len(madr(text)["recommendations"]) == 1


# --- from a run -------------------------------------------------------------------------------------------------------------------


def run_folder(folder: Path, rows: list[dict]) -> Path:
    folder.mkdir()
    listed_rows = json_bytes({"schema": 1, "cluster": "demo", "recommendations": rows})
    (folder / "recommendations.json").write_bytes(listed_rows)
    told = {
        "schema": 1,
        "run_id": "ab" * 16,
        "cluster": "demo",
        "window": {"start": "s", "end": "e"},
        "policy": {},
        "source": {},
        "fingerprint": "f",
        "queries": {},
        "figures": {"currency": "EUR", "price_source": "ours"},
        "files": {"recommendations.json": hashlib.sha256(listed_rows).hexdigest()},
    }
    (folder / "evidence.json").write_bytes(json_bytes(told))
    return folder


def test_a_record_from_a_runs_folder(tmp_path: Path) -> None:
    made = {key: value for key, value in row().items() if key != "samples"}
    of = basis_of_run(run_folder(tmp_path / "run", [made]))
    text = text_of(of=of)
    assert "- Run `abababababababababababababababab`" in text
    assert madr(text)["promised"]["currency"] == "EUR"
    assert "| Samples / days | not known / 28 |" in text


def test_a_folder_that_was_changed_or_is_none_is_refused(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", [row()])
    (folder / "recommendations.json").write_bytes(b"{}")
    with pytest.raises(Exception, match="sha256 differs") as caught:
        basis_of_run(folder)
    assert caught.value.exit_code == 5
    with pytest.raises(UsageError, match="not the folder of a run"):
        basis_of_run(tmp_path)


# --- files ------------------------------------------------------------------------------------------------------------------------


def test_numbers_are_the_highest_plus_one_whoever_used_it(tmp_path: Path) -> None:
    assert written(tmp_path).number == 1
    (tmp_path / "0041-use-postgres.md").write_text("# 41. Use PostgreSQL\n")
    (tmp_path / "20261101-by-date.md").write_text("# By date\n")
    assert written(tmp_path).path.name == "0042-reduce-todo-backend-app-cpu-memory.md"
    found = read_folder(tmp_path)
    assert (found.problems, found.others, [one.number for one in found.decisions]) == ((), ("0041-use-postgres.md",), [1, 42])
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def _write(folder: str) -> int:
    return written(Path(folder)).number


def test_f34_writers_at_once_get_their_own_numbers(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        numbers = pool.map(_write, [str(tmp_path)] * 9)
    assert sorted(numbers) == list(range(1, 10))
    assert read_folder(tmp_path).problems == ()


def test_a_second_writer_is_told_to_wait(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(StoreLocked, match="another process writes decision records") as caught:
        propose(tmp_path, proposal(), package_version="0", wait=0)
    assert caught.value.exit_code == 3


def test_f51_a_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("theirs")
    with pytest.raises(UsageError, match="never overwritten"):
        create(tmp_path / "a.md", b"ours")
    with pytest.raises(UsageError, match="changed by somebody else"):
        replace_if(tmp_path / "a.md", b"as it was", b"ours")
    assert (tmp_path / "a.md").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["a.md"]


def test_f32_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreNotWritable, match=r"cannot write .*file/adr"):
        written(tmp_path / "file" / "adr")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_f32_a_read_only_folder_is_named_and_stays_as_it_is(tmp_path: Path) -> None:
    written(tmp_path)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreNotWritable, match="cannot write"):
            written(tmp_path)
    finally:
        tmp_path.chmod(0o700)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


KILLED = """
import sys
from pathlib import Path
from tests.adr_fixtures import written
print("ready", flush=True)
while True:
    written(Path(sys.argv[1]))
"""


def test_f31_a_writer_killed_at_any_moment_leaves_a_readable_folder(tmp_path: Path) -> None:
    # it writes record after record; each time it is killed when a random number of records is there
    drawn = random.Random(3)
    for _ in range(4):
        start = read_folder(tmp_path).highest
        with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            wanted = start + drawn.randint(1, 4)
            while len(list(tmp_path.glob("*.md"))) < wanted:
                pass
            process.send_signal(signal.SIGKILL)
        written(tmp_path)
        found = read_folder(tmp_path)
        assert {problem.message for problem in found.problems} <= {"belongs to no record"}
        assert len(found.decisions) >= wanted
        assert len({one.number for one in found.decisions}) == len(found.decisions)
    assert list(tmp_path.rglob(".tmp-*")) == []


def test_what_people_wrote_is_named_by_section(tmp_path: Path) -> None:
    made = written(tmp_path)
    text = made.path.read_text()
    text = text.replace("- [ ] Reviewed by team", "- [x] Reviewed by team").replace("## Notes\n", "## Notes\n\nSeen.\n")
    made.path.write_text(text.replace("## Confirmation", "## Proof") + "\n")
    (one,) = listed(read_folder(tmp_path))
    assert one.by_hand == ("Validation Performed", "Proof (added)", "Notes", "Confirmation (removed)")
    assert one.boxes == (1, 11)


def test_figures_that_are_not_the_evidences_are_a_problem(tmp_path: Path) -> None:
    made = written(tmp_path)
    made.path.write_text(made.path.read_text().replace("to: {request: 0.1,", "to: {request: 0.2,"))
    (one,) = listed(read_folder(tmp_path))
    assert [problem.message for problem in one.problems] == ["to.request of cpu is 0.2 in the front matter, 0.1 in its evidence"]


def test_a_record_as_it_was_made_has_nothing_by_hand(tmp_path: Path) -> None:
    written(tmp_path, tool="kagent", advice=QUOTES[0])
    (one,) = listed(read_folder(tmp_path))
    assert (one.by_hand, one.boxes, one.problems) == ((), (0, 11), ())
