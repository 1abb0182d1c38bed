"""Results of a run: medians over clean repetitions, ratios, tables, the recorded ratios that scripts/bench-check compares with."""

import json
import pathlib
import statistics

POSTFIX, STAGEPOST = "postfix", "stagepost"
# The name under which the disk's own figures are kept; they are no system's.
DISK = "disk"
LOAD = "load"
# For the ratio: above 1 means that Stagepost is better. All other metrics are better when smaller.
HIGHER_IS_BETTER = {"messages/s", "recipients/s", "opened/s", "good/s alone", "good/s beside", "good keep %", "disk share %"}
# A ratio of these says nothing: they describe the run.
NO_RATIO = {"sink/s", "arrived less accepted", "disk share %", "input/s first half", "input/s second half",
            "sessions", "seconds to open"}
# What bench-check looks at: figures that are steady enough on a machine that does other things too.
CHECKED = {"messages/s", "recipients/s", "CPU ms/msg", "CPU ms/rcpt", "syscalls/msg", "syscalls/rcpt", "switches/msg", "ms each", "start-up CPU ms",
           "opened/s", "KiB/session", "list -p s", "delete all s", "good keep %"}
TOLERANCE = 0.8
# A repetition during which others used more of the machine than this is not clean.
FOREIGN_LIMIT = 0.2


class Results:
    """{scenario: {metric: {system: [(value, foreign share of the machine)]}}}"""

    def __init__(self):
        self.values = {}
        self.notes = []

    def add(self, scenario, system, metrics, foreign=None):
        for metric, value in metrics.items():
            if value is not None:
                self.values.setdefault(scenario, {}).setdefault(metric, {}).setdefault(system, []).append((value, foreign))

    def clean(self, scenario, system):
        """How many repetitions of a scenario were clean, of how many."""
        shares = [[foreign for _, foreign in values[system] if foreign is not None]
                  for values in self.values.get(scenario, {}).values() if system in values]
        known = max(shares, key=len, default=[])
        return sum(share <= FOREIGN_LIMIT for share in known), len(known)

    def median(self, scenario, metric, system):
        """Over the clean repetitions; over all when fewer than half were clean."""
        values = self.values.get(scenario, {}).get(metric, {}).get(system)
        if not values:
            return None
        clean = [value for value, foreign in values if foreign is None or foreign <= FOREIGN_LIMIT]
        return statistics.median(clean if len(clean) * 2 >= len(values) else [value for value, _ in values])

    def ratio(self, scenario, metric):
        ours, theirs = self.median(scenario, metric, STAGEPOST), self.median(scenario, metric, POSTFIX)
        if not ours or not theirs or metric in NO_RATIO:
            return None
        return ours / theirs if metric in HIGHER_IS_BETTER else theirs / ours

    def systems(self):
        """Postfix, ours, then the variants, as far as they were measured."""
        found = {system for metrics in self.values.values() for values in metrics.values() for system in values} - {DISK, LOAD}
        return sorted(found, key=lambda name: (name != POSTFIX, name != STAGEPOST, name))

    def rows(self):
        names = self.systems()
        for scenario, metrics in self.values.items():
            if scenario in (DISK, LOAD):
                continue
            # Rates first, events, which were counted before, last.
            for metric in sorted(metrics, key=lambda name: "/msg" in name or "/rcpt" in name):
                yield [scenario, metric, *(number(self.median(scenario, metric, name)) for name in names), number(self.ratio(scenario, metric))]

    def table(self, markdown):
        head = ["scenario", "metric", *self.systems(), "ratio"]
        rows = [head, *self.rows()]
        if markdown:
            rows.insert(1, ["---", "---"] + ["--:"] * (len(head) - 2))
            return "\n".join("| " + " | ".join(row) + " |" for row in rows)
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        return "\n".join("  ".join(cell.ljust(width) if i < 2 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))).rstrip()
                         for row in rows)

    def disk_lines(self):
        """What the disk can do."""
        rates = [f"{metric.split(',')[0]} {number(self.median(DISK, metric, DISK))}/s" for metric in self.values.get(DISK, {})]
        return ["The disk's own grouped fdatasync rate: " + ", ".join(rates)] if rates else []

    def load_lines(self):
        """What source and sink do without a mail system between them."""
        rates = [f"{metric} {number(self.median(LOAD, metric, LOAD))}" for metric in self.values.get(LOAD, {})]
        return ["The load tools alone, source to sink: " + "; ".join(rates)] if rates else []

    def disturbed(self):
        """A sentence about repetitions that were not clean."""
        found = []
        for scenario in self.values:
            for system in self.systems():
                good, all_of_them = self.clean(scenario, system)
                if good < all_of_them:
                    found.append(f"{scenario} of {system} {good}/{all_of_them}")
        if not found:
            return []
        return [f"Clean repetitions (others used at most {FOREIGN_LIMIT:.0%} of the machine; where it was fewer than half, all count): " + ", ".join(found)]

    def to_json(self):
        return json.dumps({"values": self.values, "notes": self.notes}, indent=1) + "\n"

    # The regression guard
    def checked_ratios(self):
        return {f"{scenario} / {metric}": round(ratio, 3) for scenario, metrics in self.values.items() for metric in metrics
                if metric in CHECKED and (ratio := self.ratio(scenario, metric)) is not None}

    def record(self, path, about):
        ratios = self.checked_ratios()
        if not ratios:
            raise SystemExit("nothing to record: no scenario gave a ratio")
        pathlib.Path(path).write_text(json.dumps({"about": about, "ratios": ratios}, indent=1) + "\n", encoding="utf-8")

    def check(self, path):
        """Lines about recorded ratios that are not reached any more; ratios that could not be measured count as not reached."""
        recorded = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))["ratios"]
        now = self.checked_ratios()
        measured = set(self.values)
        lines = []
        for name, ratio in recorded.items():
            if name.split(" / ", maxsplit=1)[0] not in measured:
                continue
            if name not in now:
                lines.append(f"{name}: recorded {ratio:.2f}, not measured now")
            elif now[name] < ratio * TOLERANCE:
                lines.append(f"{name}: recorded {ratio:.2f}, now {now[name]:.2f}")
        return lines


def number(value):
    if value is None:
        return "-"
    if value == int(value) and abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"
