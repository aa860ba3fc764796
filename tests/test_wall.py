"""The wall holds: each attack is a real submission, and none gains a point or leaves a trace.

tools/grading/threats.yml has the attacks: the answer cells that an attacker writes, and what
becomes of each question. These tests need bubblewrap (Debian, Ubuntu: apt install bubblewrap); with
CI=true a machine without it is a failure, elsewhere they are skipped.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.grading import FULL, LIMITS, ROOT, STEM, full, points, run, zygote
from tools import notebooks
from tools.grading import demo, wall

THREATS = demo.threats()
__all__ = ["zygote"]  # a fixture


def test_a_right_submission_has_full_marks(zygote):
    result = run(zygote, {})
    assert points(result) == FULL and result.status == "graded", result.questions


# Attacks


@pytest.mark.parametrize("name", THREATS)
def test_threat(name, zygote):
    threat = THREATS[name]
    before = set(wall.descendants(zygote.process.pid))
    stem = threat.get("exercise", STEM)
    result = run(zygote, threat["answers"], threat.get("more", ()), stem)
    said = json.dumps(result.as_dict())
    expected = full(stem) | threat.get("points", {})
    assert points(result) == expected, [(q.name, q.status, q.message) for q in result.questions]
    statuses = {q.name: q.status for q in result.questions}
    for question, status in threat.get("status", {}).items():
        assert statuses[question] == status, result.questions
    assert threat.get("says", "") in said, result.as_dict()
    assert "never" not in threat or threat["never"] not in said, result.as_dict()
    assert len(said) < 2_000_000 and said.encode()
    left = set(wall.descendants(zygote.process.pid)) - before
    assert wall.until_gone(sorted(left), 5) == []
    assert result.seconds < 45


OTHER_USER = """
import json, sys
from pathlib import Path
from tools import notebooks
from tools.grading import demo, grade, score, wall
limits = wall.Limits(notebook=90, call=6, memory=1500 * wall.MIB, disk=8 * wall.MIB)
zygote, told = wall.Zygote(limits, grade.DATA), {}
for name in json.loads(sys.argv[1]):
    threat = demo.threats()[name] if name else {"answers": {}}
    notebook = demo.handed_in(grade.master_of("01_convolution_by_hand"), threat["answers"])
    result = score.grade(grade.master_of("01_convolution_by_hand"), notebook, zygote)
    told[name] = result.as_dict()
zygote.close()
print(json.dumps(told))
"""
FOR_OTHER_USER = [
    "a fork bomb", "the network", "writing outside", "becoming root", "a flood of memory",
    "unmounting what hides the rest", "a new namespace by clone", "memory in files without a name",
    "memory in /dev/shm and /tmp", "a message in the kernel's key ring",
    "sockets that lead to the machine below",
    "writing to the kernel's settings", "looking into other processes",
    "a hundred threads that stay", "",
]  # fmt: skip


def test_the_wall_of_an_ordinary_user(zygote):
    """Without root the wall is made of a user namespace; it holds as well."""
    words = [sys.executable, "-c", OTHER_USER, json.dumps(FOR_OTHER_USER)]
    if os.geteuid() == 0:
        words = [*as_ordinary_user(), *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HOME": "/tmp"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, result in json.loads(done.stdout).items():
        threat = THREATS.get(name, {})
        found = {q["name"]: q["points"] for q in result["questions"] if q["points"] is not None}
        assert found == FULL | threat.get("points", {}), (name, result)
        assert threat.get("says", "") in json.dumps(result), (name, result)


def as_ordinary_user():
    """Return the words that run a command as another user, who can read the course's folders.

    Root's own folder, where a Python may lie, is closed to others: a view of the file system
    opens it, and nothing is changed on the disk.
    """
    needed = {str(ROOT), sys.prefix, sys.base_prefix}
    closed = {Path(folder).parts[1] for folder in needed} - {"usr"}
    words = ["bwrap", "--dev-bind", "/", "/"]
    for name in sorted(closed):
        words += ["--perms", "0755", "--tmpfs", f"/{name}"]
    parents = {str(parent) for folder in needed for parent in Path(folder).parents}
    for folder in sorted(parents):
        if Path(folder).parts[1:2] and Path(folder).parts[1] in closed:
            words += ["--perms", "0755", "--dir", folder]
    for folder in sorted(needed):
        words += ["--ro-bind", folder, folder]
    words += ["--perms", "1777", "--tmpfs", "/tmp"] if "tmp" not in closed else []
    return [*words, "setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups"]


def test_where_no_namespace_can_be_made_it_says_what_helps(zygote):
    """As on Ubuntu since 23.10: inside a sandbox that allows no further one, as another user."""
    words = ["bwrap", "--unshare-user", "--disable-userns", "--dev-bind", "/", "/"]
    words += [sys.executable, "-c", "from tools.grading import wall; wall.refuse_without_a_wall()"]
    if os.geteuid() == 0:
        words = [*as_ordinary_user(), *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HOME": "/tmp"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode and "CourseError: grading: bubblewrap does not start" in done.stderr
    assert "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" in done.stderr


LEAVE = """
import os
for folder in ("/tmp", "/dev/shm", "/home/student", "/dev", "/run", "/var/tmp", "/"):
    for name in ("note", ".keras/keras.json", ".ipython/startup/x.py"):
        try:
            os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
            open(f"{folder}/{name}", "w").write("answer")
        except OSError:
            pass
def conv1d(*a): pass
"""
LOOK = """
import os
for folder, _, files in os.walk("/"):
    if not folder.startswith(("/proc", "/usr", "/lib", "/bin")):
        print("".join(f"FOUND {folder}/{f}" for f in files if f in ("note", "keras.json", "x.py")))
def conv1d(*a): pass
"""


def test_nothing_of_one_hand_in_is_seen_by_the_next(zygote):
    run(zygote, {"answer-3": LEAVE})
    result = run(zygote, {"answer-3": LOOK})
    assert "FOUND /tmp" not in json.dumps(result.printed)
    assert "FOUND /dev" not in json.dumps(result.printed)
    assert "/home/student/note" not in json.dumps(result.printed)


def test_the_course_may_lie_below_a_folder_in_memory(zygote, tmp_path, monkeypatch):
    """A clone in /tmp, say, below folders that nobody else may enter."""
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "module.py").write_text("answer = 7", encoding="utf-8")
    folders = [*wall._python_folders(), str(tmp_path / "env")]
    monkeypatch.setattr(wall, "_python_folders", lambda: folders)
    look = f"print('seen', open({str(tmp_path / 'env' / 'module.py')!r}).read())\n"
    look += "open('/tmp/x', 'w').write('can be written')"
    result = run(zygote, {}, [look])
    (told,) = [told for name, told in result.printed.items() if name.startswith("own-")]
    assert told["printed"].startswith("seen answer = 7") and not told["error"]


def test_a_hundred_cells_that_end_the_process_end_in_time(zygote):
    started_at = time.monotonic()
    result = run(zygote, {}, ["import os\nos._exit(0)"] * 400)
    assert time.monotonic() - started_at < LIMITS.notebook + 10
    assert set(points(result)) == set(FULL)


def test_tests_that_never_end_are_ended(zygote, monkeypatch):
    """What the tests do with a student's values has the limits of the answers themselves."""
    read = notebooks.read

    def with_a_slow_check(path):
        notebook = read(path)
        for cell in notebook.cells:
            if cell.id == "check-3":
                cell.source = "sum(range(10**14))"  # one call of C: no exception ends it
        return notebook

    monkeypatch.setattr(notebooks, "read", with_a_slow_check)
    result = run(zygote, {})
    assert points(result) == FULL | {"check-3": 0}
    assert result.status == "over time"
