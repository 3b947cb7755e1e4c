#!/usr/bin/env python3
"""The sweep: a hundred hostile days of a small network, each with faults of its own; no promise may break.

It also counts what happened: a kind of fault that never struck, or a rare branch that was never reached, fails the sweep,
since it then has tested less than it says. usage: test_sweep.py --bin DIR [--seeds A..B] [--drill FILE]
"""
import argparse
import collections
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

# What a hundred seeds must bring about. The rest turns up now and then, and is shown.
FAULTS = """crash power-cut pause stop link-down cut link-reset link-stall degrade bearer-change partition clock-step
clock-drift disk-full disk-slow commit-fail sync-fail flip-bit lose-disk restore roster desk-crash desk-refuses client-retry""".split()
BRANCHES = """group chunked-body duplicate-key perhaps-seen lease-returned refused expired cancelled resent-entry via-another-site
recovered unanswered-kept no-room flash-overtook held-by-standby-only""".split()


def shard(binary, drill, first, last):
	return subprocess.Popen([binary, 'run', drill, '--seeds', f'{first}..{last}'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def results(process):
	out, err = process.communicate()
	lines = [json.loads(line) for line in out.splitlines() if line.startswith('{')]
	return lines, process.returncode, err


class Tap:
	def __init__(self):
		self.n = self.failed = 0

	def ok(self, good, what, why=''):
		self.n += 1
		self.failed += not good
		print(f"{'ok' if good else 'not ok'} {self.n} - {what}")
		if not good:
			print('\n'.join('# ' + line for line in str(why).splitlines()))
		sys.stdout.flush()


def versions(tap, binary, seeds):
	"""Programs of every protocol beside each other, upgraded and taken back while faults strike."""
	lines, status, err = results(shard(binary, os.path.join(HERE, '..', 'sweep', 'versions.conf'), 1, seeds))
	broken = [f"{r['broken']}\nagain: {r['repeat']}" for r in lines if not r['ok']]
	tap.ok(status == 0 and len(lines) == seeds and not broken, f'{seeds} seeds with programs of several protocols keep every promise',
	       '\n'.join(broken) or f'{len(lines)} of {seeds}, status {status}: {err[-2000:]}')


def main():
	arguments = argparse.ArgumentParser()
	arguments.add_argument('--bin', required=True)
	arguments.add_argument('--seeds')
	arguments.add_argument('--drill', default=os.path.join(HERE, '..', 'sweep', 'swarm.conf'))
	args = arguments.parse_args()
	sanitized = '/san/' in args.bin + '/'
	first, last = (int(x) for x in (args.seeds or ('1..10' if sanitized else '1..100')).split('..'))
	binary, tap = os.path.join(args.bin, 'estafette-sim'), Tap()
	middle = (first + last) // 2
	runs, faults, branches, broken = 0, collections.Counter(), collections.Counter(), []
	for process in [shard(binary, args.drill, *part) for part in ((first, middle), (middle + 1, last)) if part[0] <= part[1]]:
		lines, status, err = results(process)
		for r in lines:
			runs += 1
			faults.update(r['faults'])
			branches.update(r['coverage'])
			if not r['ok']:
				broken.append(f"{r['broken']}\nagain: {r['repeat']}")
		if status != 0 and not any(not r['ok'] for r in lines):
			broken.append(f'ended with status {status}: {err[-2000:]}')
	tap.ok(not broken, f'{runs} seeds keep every promise', '\n'.join(broken))
	tap.ok(broken or runs == last - first + 1, 'every seed ran', f'{runs} of {last - first + 1}')
	if not args.seeds:
		versions(tap, binary, 2 if sanitized else 10)
	if not broken and runs >= 100:
		tap.ok(all(faults[k] for k in FAULTS), 'every kind of fault struck', 'never: ' + ' '.join(k for k in FAULTS if not faults[k]))
		tap.ok(all(branches[k] for k in BRANCHES), 'every branch was reached', 'never: ' + ' '.join(k for k in BRANCHES if not branches[k]))
	print('# faults: ' + ', '.join(f'{k} {v}' for k, v in sorted(faults.items())))
	print('# branches: ' + ', '.join(f'{k} {v}' for k, v in sorted(branches.items())))
	print(f'1..{tap.n}')
	return 1 if tap.failed else 0


if __name__ == '__main__':
	sys.exit(main())
