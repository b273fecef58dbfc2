# SPDX-License-Identifier: MIT
"""Runs `altnet replay` and writes what it measured between the two marks of a page; see scripts/watchdog-report."""

import json
import os
import pathlib
import subprocess
import sys

BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
MOMENTS, SEED = 1000, 1


def replay(*arguments):
    # The settings of a daemon must not come in by the environment.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ALTNET_")}
    command = [os.environ["ALTNET_TEST_ALTNET"], "replay", *map(str, arguments), "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout)


def duration(seconds):
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02} min"


def times(figures):
    if figures is None:
        return "–"
    return ", ".join(duration(figures[key]) for key in ("median", "ninetyPercent", "maximum"))


def share(part, whole):
    return f"{100 * part / whole:.1f} %"


def kinds(report):
    return ", ".join(f"{count} {kind}" for kind, count in sorted(report["kinds"].items())) or "none"


def measured(folder):
    files = sorted(folder.glob("*.csv"))
    lines = ["### False alarms", "", "| files | arrivals | critical | warnings | by kind |", "| --- | --- | --- | --- | --- |"]

    def row(name, *arguments):
        report = replay(*arguments)
        lines.append(
            f"| {name} | {report['lines']:,} | {report['critical']} | {report['warning']} | {kinds(report)} |")

    for file in files:
        row(f"`{file.name}` alone", file)
    row("all, as links of one daemon", *files)
    for file in files:
        row(f"all, `{file.name}` as the node", *files, "--node", file)
    lines += [
        "", "### Injected eclipses", "",
        f"Each row is {MOMENTS:,} attacks at random moments of all files (seed {SEED}). Times are the median, nine of ten, "
        "and the longest.", "",
        "| attack | beside | noticed | time to notice | critical | time to critical | first by |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for attack in ("silence", "slow-feed", "minority-branch"):
        for beside in (False, True):
            flags = ["--inject", attack, "--moments", MOMENTS, "--seed", SEED]
            report = replay(*files, *flags, *(["--beside-honest-link"] if beside else []))
            first = ", ".join(f"{count} {kind}" for kind, count in sorted(report["noticedBy"].items()))
            lines.append(
                f"| {attack} | {'one honest link' if beside else 'nothing'} | {share(report['noticed'], MOMENTS)} | "
                f"{times(report.get('secondsToNotice'))} | {share(report['critical'], MOMENTS)} | "
                f"{times(report.get('secondsToCritical'))} | {first} |")
    return "\n".join(lines) + "\n"


def main():
    folder, page = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    text = page.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    new = before + BEGIN + "\n" + measured(folder) + "\n" + END + after
    if sys.argv[3:] == ["--check"]:
        sys.exit("watchdog-report: docs/watchdog.md has other numbers" if new != text else 0)
    page.write_text(new)


main()
