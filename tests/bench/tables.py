#!/usr/bin/python3
"""Benchmark: lookup tables of the installed Postfix and of Stagepost, the same files and keys, interleaved in one run.

Measures user + system time of postmap, the smallest of several runs, so that other work of the machine matters little:
  build TYPE    postmap TYPE:file, from a source with --entries lines
  query TYPE    postmap -q - with --entries keys, half of them in the table; each suite asks the file Postfix built
  cidr, pcre, regexp   the same with --cidr networks (IF blocks included) and --rules patterns; every key is asked
What both print must be the same, or the run stops.

    tests/bench/tables.py                         a million entries, as docs/benchmarks.md
    tests/bench/tables.py --entries 50000 --runs 1    a first look
    tests/bench/tables.py --markdown

STAGEPOST_BUILD names the build tree (a release build for figures; default build/release).
"""

import argparse
import hashlib
import os
import pathlib
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("STAGEPOST_BUILD", ROOT / "build" / "release"))
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
SUFFIX = {"hash": ".db", "btree": ".db", "cdb": ".cdb", "lmdb": ".lmdb"}


class Suite:
    def __init__(self, name, postmap, area, own=""):
        self.name, self.postmap, self.area = name, postmap, area
        self.config = area / f"etc-{name}"
        self.config.mkdir()
        (self.config / "main.cf").write_text(f"compatibility_level = 3.6\nqueue_directory = {area}/q\ndata_directory = {area}/d\n{own}")

    def run(self, *args, stdin=None):
        """Seconds of CPU, seconds of the clock, digest of the output."""
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        with open(stdin or os.devnull, "rb") as source:
            done = subprocess.run([self.postmap, "-c", str(self.config), *args], cwd=self.area, stdin=source,
                                  capture_output=True, check=False, timeout=3600)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode not in (0, 1) or done.stderr:
            sys.exit(f"{self.name}: postmap {' '.join(args)}: {done.stderr.decode(errors='replace')[:500]}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return cpu, time.monotonic() - begin, hashlib.sha256(done.stdout).hexdigest()


def write_sources(area, entries, networks, rules, choose):
    with open(area / "table", "w", encoding="ascii") as table:
        for number in range(entries):
            table.write(f"user{number * 7919 % entries}@host{number % 1009}.example.com\tmailbox{number}\n")
    with open(area / "keys", "w", encoding="ascii") as keys:
        for _ in range(entries):
            number = choose.randrange(entries)
            known = f"user{number * 7919 % entries}@host{number % 1009}.example.com"
            keys.write(known if choose.random() < 0.5 else f"nobody{number}@example.org")
            keys.write("\n")
    with open(area / "cidr", "w", encoding="ascii") as table:
        for number in range(networks):
            if number % 1000 == 500:
                table.write(f"if 10.{number // 1000 % 256}.0.0/16\n10.{number // 1000 % 256}.128.0/17 inside{number}\nendif\n")
            bits = choose.choice([16, 20, 24, 28, 32])
            address = choose.randrange(1 << 32) & ~((1 << (32 - bits)) - 1)
            table.write(".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0)) + f"/{bits} net{number}\n")
    with open(area / "addresses", "w", encoding="ascii") as keys:
        for _ in range(entries):
            keys.write(".".join(str(choose.randrange(256)) for _ in range(4)) + "\n")
    with open(area / "rules", "w", encoding="ascii") as table:
        for number in range(rules):
            table.write(f"/^subject: .*offer-{number}-(now|today)$/ REJECT number {number} $1\n")
    with open(area / "lines", "w", encoding="ascii") as keys:
        for _ in range(entries):
            number = choose.randrange(rules * 2)
            keys.write(f"Subject: a special offer-{number}-{choose.choice(['now', 'later'])}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--cidr", type=int, default=10_000, help="lines of the cidr table (default 10000)")
    parser.add_argument("--rules", type=int, default=1_000, help="rules of the pattern tables (default 1000)")
    parser.add_argument("--pattern-keys", type=int, default=10_000, help="keys for pcre and regexp (default 10000): Postfix needs 3 ms each")
    parser.add_argument("--cidr-keys", type=int, default=100_000, help="keys for cidr (default 100000)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", help="comma separated: hash,btree,lmdb,cdb,cidr,pcre,regexp")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    theirs = shutil.which("postmap", path=PATH)
    if not theirs or not (BUILD / "bin" / "postmap").exists():
        sys.exit("needs Postfix's postmap and ours (STAGEPOST_BUILD)")
    area = pathlib.Path(tempfile.mkdtemp(prefix="tables-", dir=os.environ.get("STAGEPOST_TEST_DIR", "/var/tmp")))
    try:
        measure(area, theirs, options)
    finally:
        shutil.rmtree(area)


def measure(area, theirs, options):
    suites = [Suite("Postfix", theirs, area),
              Suite("Stagepost", str(BUILD / "bin" / "postmap"), area, f"shlib_directory = {BUILD}/modules\nmeta_directory = {area}\n")]
    listed = subprocess.run([shutil.which("postconf", path=PATH), "-c", str(suites[0].config), "-m"], capture_output=True, text=True,
                            check=True).stdout.split()
    kinds = [kind for kind in (options.only or "hash,btree,lmdb,cdb,cidr,pcre,regexp").split(",") if kind in listed]
    write_sources(area, options.entries, options.cidr, options.rules, random.Random(3))
    for name, count in (("addresses", options.cidr_keys), ("lines", options.pattern_keys)):
        with open(area / name, encoding="ascii") as source, open(area / f"{name}-few", "w", encoding="ascii") as few:
            few.writelines(line for _, line in zip(range(count), source))
    rows = []

    def compare(label, *args, stdin=None, prepare=None):
        best = {}
        for _ in range(options.runs):
            outputs = set()
            for suite in suites:
                if prepare:
                    prepare()
                cpu, clock, digest = suite.run(*args, stdin=stdin)
                outputs.add(digest)
                best[suite.name] = min(best.get(suite.name, (cpu, clock)), (cpu, clock))
            if len(outputs) > 1:
                sys.exit(f"{label}: the two print different things")
        rows.append((label, best["Postfix"], best["Stagepost"]))
        if not options.markdown:
            (cpu, clock), (our_cpu, our_clock) = best["Postfix"], best["Stagepost"]
            print(f"{label:28} Postfix {cpu:8.3f} s cpu {clock:8.3f} s   Stagepost {our_cpu:8.3f} s cpu {our_clock:8.3f} s"
                  f"   {cpu / max(our_cpu, 1e-3):6.1f} times", flush=True)

    for kind in kinds:
        if kind in SUFFIX:
            table = area / f"table{SUFFIX[kind]}"
            compare(f"build {kind}", f"{kind}:table", prepare=lambda: table.unlink(missing_ok=True))
            table.unlink()
            suites[0].run(f"{kind}:table")
            compare(f"query {kind}", "-q", "-", f"{kind}:table", stdin=area / "keys")
            table.unlink()
        else:
            source, keys = ("cidr", "addresses-few") if kind == "cidr" else ("rules", "lines-few")
            compare(f"query {kind}", "-q", "-", f"{kind}:{source}", stdin=area / keys)
    if options.markdown:
        print("| | Postfix, s of CPU | Stagepost, s of CPU | times faster | Postfix, s | Stagepost, s | times faster |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for label, (cpu, clock), (our_cpu, our_clock) in rows:
            print(f"| {label} | {cpu:.2f} | {our_cpu:.2f} | {cpu / max(our_cpu, 1e-3):.1f} "
                  f"| {clock:.2f} | {our_clock:.2f} | {clock / max(our_clock, 1e-3):.1f} |")


if __name__ == "__main__":
    main()
