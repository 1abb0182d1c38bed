"""How cost grows: messages/s and memory against sessions, recipients, queue length and message size, as SVG files (bench.py --plot)."""

import dataclasses
import json
import pathlib
import threading
import time
from collections.abc import Callable

from heavy import list_queue, timed
from results import POSTFIX, STAGEPOST
from systems import MESSAGE_SIZE, System

# Points: (full, short).
SESSIONS = ([1, 2, 5, 10, 20, 50, 90], [1, 10, 50])
RECIPIENTS = ([1, 10, 100, 500, 1000], [1, 100, 1000])
QUEUE = ([1000, 2000, 5000, 10000, 20000], [200, 500, 1000])
SIZES_KIB = ([1, 4, 16, 64, 256, 1024, 4096, 16384, 51200], [1, 64, 4096, 51200])
# Larger than Debian's default of 10,240,000, so that the largest size passes; both systems have it in these runs.
MESSAGE_SIZE_LIMIT = 60_000_000


class PeakMemory:
    """Largest PSS of a system while it works. Sampling costs time, so the rates of a plot are a little below those of a benchmark."""

    def __init__(self, system):
        self.system = system
        self.peak = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._sample)

    def _sample(self):
        while True:
            self.peak = max(self.peak, self.system.pss_kib())
            if self.ended.wait(0.3):
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


@dataclasses.dataclass
class Series:
    """`measure(bench, system, x)` gives the values of one point, in the order of `panels` (title, unit)."""
    name: str
    axis: str
    points: tuple
    panels: list
    measure: Callable


def with_memory(system, action):
    """Seconds that `action` takes and the MiB the system needed at most meanwhile."""
    with PeakMemory(system) as memory:
        begun = time.monotonic()
        action()
        seconds = time.monotonic() - begun
    return seconds, memory.peak / 1024


def by_sessions(bench, system, sessions):
    count = max(sessions * 5, 60 if bench.options.short else 600)

    def work():
        bench.tools.source(system.instance.port(), "to@discard.test", count, sessions, MESSAGE_SIZE, reuse=True)
        system.wait_empty()
    seconds, memory = with_memory(system, work)
    return [count / seconds, memory]


def by_recipients(bench, system, recipients):
    count = max(2, (400 if bench.options.short else 4000) // recipients)

    def work():
        with bench.tools.sink(bench.ports.relay):
            bench.tools.source(system.instance.port(), "to@relay.test", count, 4, MESSAGE_SIZE, recipients=recipients)
            system.wait_empty()
    seconds, memory = with_memory(system, work)
    return [count * recipients / seconds, memory]


def by_queue_length(bench, system, length):
    bench.tools.source(system.instance.port(), "to@queue.test", length, 20, 1024, reuse=True)
    system.wait_deferred(length)
    system.wait_empty()
    accepted = 60 if bench.options.short else 600
    acceptance = accepted / bench.tools.source(system.instance.port(), "to@discard.test", accepted, 10, MESSAGE_SIZE)["seconds"]
    system.wait_empty()
    listing = timed(lambda: list_queue(system, "-p"))
    memory = system.pss_kib("qmgr") / 1024
    deletion = timed(lambda: system.instance.postsuper("-d", "ALL", check=True, timeout=3600))
    system.delete_all()
    return [acceptance, listing, deletion, memory]


def by_size(bench, system, size_kib):
    count = max(3, min(200, (8 if bench.options.short else 64) * 1024 // size_kib))

    def work():
        with bench.tools.sink(bench.ports.relay):
            bench.tools.source(system.instance.port(), "to@relay.test", count, min(count, 4), size_kib * 1024)
            system.wait_empty()
    seconds, memory = with_memory(system, work)
    return [seconds * 1000 / count, count * size_kib / 1024 / seconds, memory]


ALL = [
    Series("sessions", "sessions", SESSIONS, [("Acceptance", "messages/s"), ("Memory of all processes", "MiB")], by_sessions),
    Series("recipients", "recipients per message", RECIPIENTS, [("Relay", "recipients/s"), ("Memory of all processes", "MiB")], by_recipients),
    Series("queue", "deferred messages", QUEUE,
           [("Acceptance meanwhile", "messages/s"), ("postqueue -p", "s"), ("postsuper -d ALL", "s"), ("Memory of qmgr", "MiB")], by_queue_length),
    Series("size", "message size, KiB", SIZES_KIB, [("Relay, time per message", "ms"), ("Relay", "MiB/s"), ("Memory of all processes", "MiB")], by_size),
]
COLOURS = {POSTFIX: "#b05010", STAGEPOST: "#1060a0"}


def draw(series, points, values, path):
    """One SVG with a panel for each quantity. Rates and times have logarithmic axes, where proportional growth is a line parallel to the dotted
    one; memory starts at 0."""
    # Here, so that everything else runs without the package.
    import matplotlib
    matplotlib.use("svg")
    # The same figures give the same file, and text stays text.
    matplotlib.rcParams.update({"svg.hashsalt": "stagepost", "svg.fonttype": "none"})
    from matplotlib import pyplot, ticker
    plain = ticker.FuncFormatter(lambda value, _: f"{value:,g}")
    figure, axes = pyplot.subplots(1, len(series.panels), figsize=(4.2 * len(series.panels), 3.4), layout="constrained")
    for i, (title, unit) in enumerate(series.panels):
        axis = axes[i]
        for name, measured in values.items():
            axis.plot(points[:len(measured)], [value[i] for value in measured], marker="o", markersize=4, color=COLOURS[name], label=name.capitalize())
        axis.set(xscale="log", title=title, xlabel=series.axis, ylabel=unit)
        if unit == "MiB":
            axis.set_ylim(bottom=0)
        else:
            axis.set_yscale("log")
        if unit in ("s", "ms"):
            # Through the last point of ours (without ours, of Postfix): what is steeper than this grows faster than the load.
            last = values.get(STAGEPOST, next(iter(values.values())))[-1][i]
            axis.plot(points, [last * point / points[-1] for point in points], linestyle=":", color="grey", label="proportional")
        axis.set_xticks(points, [f"{point:,g}" for point in points], rotation=45 if len(points) > 5 else 0, fontsize=8)
        axis.xaxis.set_minor_formatter(ticker.NullFormatter())
        axis.yaxis.set_major_formatter(plain)
        axis.yaxis.set_minor_formatter(ticker.NullFormatter())
        axis.grid(True, which="major", alpha=0.3)
        axis.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def run(bench, directory):
    """Measures all series and writes DIRECTORY/growth-NAME.svg and growth.json with the figures."""
    directory.mkdir(parents=True, exist_ok=True)
    index = 1 if bench.options.short else 0
    for suite in bench.suites():
        bench.systems.append(System(suite.name, suite, bench.ports, message_size_limit=MESSAGE_SIZE_LIMIT).start())
    figures = {"about": bench.about()}
    for series in ALL:
        points = series.points[index]
        values = {system.name: [] for system in bench.systems}
        for point in points:
            for system in bench.systems:
                values[system.name].append(series.measure(bench, system, point))
                bench.say(f"{series.name} {point}, {system.name}: " + ", ".join(f"{value:.4g}" for value in values[system.name][-1]))
        figures[series.name] = {"points": points, "panels": series.panels, "values": values}
        draw(series, points, values, directory / f"growth-{series.name}.svg")
    pathlib.Path(directory / "growth.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
