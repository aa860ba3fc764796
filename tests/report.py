"""A pytest plugin: after the tests, a table of seconds for each notebook and test file."""

from collections import defaultdict


def pytest_terminal_summary(terminalreporter):
    """Sum the time of every phase of every test, file by file, longest first."""
    seconds = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if hasattr(report, "duration"):
                seconds[report.nodeid.split("::")[0]] += report.duration
    terminalreporter.section("seconds per file")
    for file, total in sorted(seconds.items(), key=lambda item: -item[1]):
        terminalreporter.write_line(f"{total:8.1f}  {file}")
