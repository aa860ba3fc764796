"""A pytest plugin: after the tests, what was checked, and a table of seconds for each file."""

from collections import defaultdict

from tests.rules import compared_share
from tools import notebooks


def pytest_terminal_summary(terminalreporter):
    """Tell the share of compared cells, the mutants caught, and the time of each file."""
    shares = [compared_share(notebooks.read(p)) for p in notebooks.lessons() + notebooks.masters()]
    compared, cells = (sum(column) for column in zip(*shares, strict=True))
    passed = [report.nodeid for report in terminalreporter.stats.get("passed", [])]
    mutants = {
        node.partition("[")[2].rpartition("-")[0]
        for node in passed
        if "test_mutant_loses_its_points" in node
    }
    terminalreporter.section("what was checked")
    terminalreporter.write_line(
        f"{compared} of {cells} code cells have their output compared ({compared / cells:.1%})"
    )
    terminalreporter.write_line(f"{len(mutants)} wrong answers lost their points")
    attacks = sum("test_threat[" in node for node in passed)
    terminalreporter.write_line(f"{attacks} attacks on the grader gained nothing")
    for report in terminalreporter.stats.get("passed", []):
        for text in dict(report.user_properties).values():  # what a test has measured
            terminalreporter.write_line(text)
    for reason in sorted({str(r.longrepr[2]) for r in terminalreporter.stats.get("skipped", [])}):
        terminalreporter.write_line(reason)

    seconds = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if hasattr(report, "duration"):
                seconds[report.nodeid.split("::")[0]] += report.duration
    terminalreporter.section("seconds per file")
    for file, total in sorted(seconds.items(), key=lambda item: -item[1]):
        terminalreporter.write_line(f"{total:8.1f}  {file}")
