#!/usr/bin/env python3
"""Orders by the thousand: relocations, competing orders and handbacks among six sites that crash, lose power and are cut off.

Without --orders a few seeds, as part of all tests; with it as many seeds as give so many orders (`make sweep`: 10 000), on all cores.
No promise may break, and what the sweep is for must have happened. usage: test_takeover_sweep.py --bin DIR [--seeds A..B | --orders N]
"""
import argparse
import collections
import os
import sys
import time

from test_sweep import Tap, results, shard

HERE = os.path.dirname(os.path.abspath(__file__))
BATCH = 25  # seeds of one process at a time, when it is counted by orders

# What thirty seeds must bring about.
FAULTS = 'relocate handback crash power-cut partition cut link-down desk-crash roster'.split()
BRANCHES = 'served-elsewhere handled-elsewhere perhaps-seen lease-returned group via-another-site'.split()


class Count:
	def __init__(self):
		self.runs, self.faults, self.branches, self.broken = 0, collections.Counter(), collections.Counter(), []

	def take(self, process):
		lines, status, err = results(process)
		for r in lines:
			self.runs += 1
			self.faults.update(r['faults'])
			self.branches.update(r['coverage'])
			if not r['ok']:
				self.broken.append(f"{r['broken']}\nagain: {r['repeat']}")
		if status != 0 and not any(not r['ok'] for r in lines):
			self.broken.append(f'ended with status {status}: {err[-2000:]}')

	def orders(self):
		return self.faults['relocate'] + self.faults['handback']


def several(count, binary, drill, parts):
	for process in [shard(binary, drill, a, b) for a, b in parts if a <= b]:
		count.take(process)


def main():
	arguments = argparse.ArgumentParser()
	arguments.add_argument('--bin', required=True)
	arguments.add_argument('--seeds')
	arguments.add_argument('--orders', type=int, default=0)
	arguments.add_argument('--drill', default=os.path.join(HERE, '..', 'sweep', 'takeover.conf'))
	args = arguments.parse_args()
	sanitized = '/san/' in args.bin + '/'
	binary, tap, count, begun = os.path.join(args.bin, 'estafette-sim'), Tap(), Count(), time.monotonic()
	first, last = (int(x) for x in (args.seeds or ('1..6' if sanitized else '1..30')).split('..'))
	if args.orders:
		at, cores = first, os.cpu_count() or 2
		while count.orders() < args.orders and not count.broken:
			several(count, binary, args.drill, [(at + k * BATCH, at + (k + 1) * BATCH - 1) for k in range(cores)])
			at += cores * BATCH
		last = at - 1
	else:
		middle = (first + last) // 2
		several(count, binary, args.drill, [(first, middle), (middle + 1, last)])
	tap.ok(not count.broken, f'{count.orders()} orders in {count.runs} seeds keep every promise', '\n'.join(count.broken))
	tap.ok(count.broken or count.runs == last - first + 1, 'every seed ran', f'{count.runs} of {last - first + 1}')
	if not count.broken and count.runs >= 30:
		for what, names, had in (('kind of fault struck', FAULTS, count.faults), ('branch was reached', BRANCHES, count.branches)):
			tap.ok(all(had[k] for k in names), f'every {what}', 'never: ' + ' '.join(k for k in names if not had[k]))
	took = time.monotonic() - begun
	print(f"# {count.orders()} orders given: {count.faults['relocate']} relocations, {count.faults['handback']} handbacks; {took:.0f} s, {count.orders() / took:.0f} a second")
	print('# faults: ' + ', '.join(f'{k} {v}' for k, v in sorted(count.faults.items())))
	print('# branches: ' + ', '.join(f'{k} {v}' for k, v in sorted(count.branches.items())))
	print(f'1..{tap.n}')
	return 1 if tap.failed else 0


if __name__ == '__main__':
	sys.exit(main())
