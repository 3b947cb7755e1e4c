#!/usr/bin/env python3
"""The command estafette-sim as people and scripts meet it: a drill that cannot be, an interrupted run, the members of --json,
the page, the progress line, journals on disk. usage: test_sim.py --bin DIR
"""
import argparse
import html.parser
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile

DRILL = '''drill = "two"; about = "<b>two</b> & no more"; start = "2021-07-14T00:00:00Z"; utc-offset = "2h"; length = "%(length)s"; settle = "10min";
network = { sites = ( "cic-luik", "cic-namen" ); bearers = ( { name = "fibre"; delay = "5ms"; } );
  links = ( { from = "all"; to = "all"; bearers = ( "fibre" ); } ); };
traffic = ( { name = "calls"; from = "all"; per-day = 2400; to = "own/dispatch"; } );
desks = ( { sites = "all"; queue = "dispatch"; handling = "5s"; } );
events = (
  { at = "5min"; do = "power-cut"; sites = "%(site)s"; for = "5min"; },
  { at = "6min"; do = "relocate"; site = "cic-luik"; to = ( "cic-namen" ); by = "cic-luik"; },
  { at = "12min"; do = "courier"; from = "cic-luik"; to = "cic-namen"; takes = "1min"; },
  { at = "14min"; do = "revoke"; site = "cic-luik"; by = "cic-namen"; }
);
expect = (
  { what = "accepted"; at-least = %(least)d; },
  { what = "accepted"; at = "14min"; at-least = 1; needs = ( "revoke" ); },
  { what = "served-by"; at = "13min"; sites = "cic-luik"; to = "cic-namen"; }
);
'''
# ../../sim/README.md and the users' scripts: members may be added, never taken away.
MEMBERS = {'drill': str, 'seed': int, 'trace': str, 'virtual_s': float, 'wall_s': float, 'events': int, 'accepted': int, 'read': int,
           'expired': int, 'lost': int, 'altered': int, 'twice_silent': int, 'twice_reported': int, 'flash_p50_ms': float,
           'flash_p99_ms': float, 'converged_s': float, 'unsupported': list, 'ok': bool, 'cut_short': bool}


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


class Page(html.parser.HTMLParser):
	"""What a page shows, which tags were left open, and what it wants from elsewhere."""
	VOID = {'meta', 'br', 'rect', 'line', 'path', 'polyline'}
	LOOSE = {'html', 'head', 'body', 'p'}

	def __init__(self, text):
		super().__init__()
		self.open, self.words, self.outside, self.wrong = [], [], [], []
		self.feed(text)
		self.close()

	def handle_starttag(self, tag, attrs):
		self.outside += [v for k, v in attrs if k in ('src', 'href')]
		if tag not in self.VOID | self.LOOSE:
			self.open.append(tag)

	def handle_endtag(self, tag):
		if tag in self.VOID | self.LOOSE:
			return
		if not self.open or self.open.pop() != tag:
			self.wrong.append(tag)

	def handle_data(self, data):
		self.words.append(data)


class Sim:
	def __init__(self, binary, folder):
		self.binary, self.folder = binary, folder

	def drill(self, name='two.conf', length='20min', site='cic-luik', least=1):
		path = os.path.join(self.folder, name)
		with open(path, 'w', encoding='utf-8') as f:
			f.write(DRILL % {'length': length, 'site': site, 'least': least})
		return path

	def run(self, *args, command='run', **env):
		return subprocess.run([self.binary, command, *args], capture_output=True, text=True, timeout=100, cwd=self.folder, env={**os.environ, **env})


def interrupted(sim, path, *args):
	"""Runs a drill that takes long, and interrupts it once its first minute of virtual time has passed."""
	terminal, theirs = pty.openpty()
	p = subprocess.Popen([sim.binary, 'run', path, *args], stdout=subprocess.PIPE, stderr=theirs, text=True, cwd=sim.folder)
	os.close(theirs)
	seen = b''
	while b' of at most ' not in seen:
		seen += os.read(terminal, 4096)
	p.send_signal(signal.SIGINT)
	out, _ = p.communicate(timeout=100)
	os.close(terminal)
	return p.returncode, out, seen.decode()


def bad_input(sim, tap):
	r = sim.run(sim.drill('bad.conf', site='cic-lujk'))
	want = 'estafette-sim: ' + os.path.join(sim.folder, 'bad.conf') + ':7: sites: "cic-lujk" is not a site of this drill (did you mean "cic-luik"?)\n'
	tap.ok(r.returncode == 1 and r.stderr == want and not r.stdout, 'an unknown site: file, line, what was expected', r.stderr)
	r = sim.run('nowhere.conf')
	tap.ok(r.returncode == 1 and r.stderr.startswith('estafette-sim: nowhere.conf: ') and r.stderr.count('\n') == 1, 'no such drill', r.stderr)
	for args in ((), ('x', 'y'), ('x', '--seed'), ('x', '--seed', '1x'), ('x', '--seeds', '5..1'), ('x', '--sets', 'a=b'), ('x', '--set', 'a')):
		r = sim.run(*args)
		tap.ok(r.returncode == 2 and r.stderr.count('\n') == 1, 'bad usage: run ' + ' '.join(args), f'{r.returncode} {r.stderr}')


def members(sim, tap):
	r = sim.run(sim.drill(), '--json')
	j = json.loads(r.stdout)
	wrong = [k for k, t in MEMBERS.items() if k not in j or not isinstance(j[k], (t, type(None)) if t is float else t)]
	tap.ok(r.returncode == 0 and not wrong and r.stdout.count('\n') == 1 and not r.stderr, '--json: one object with all members', f'{wrong} {r.stderr}')
	tap.ok(j['ok'] and j['unsupported'] == ['revoke'] and [e['state'] for e in j['expectations']] == ['met', 'skipped', 'met'],
	       'what the node cannot do yet is listed and skipped', r.stdout)
	r = sim.run(sim.drill(least=1000000), '--json')
	j = json.loads(r.stdout)
	tap.ok(r.returncode == 1 and not j['ok'] and j['expectations'][2]['state'] == 'missed', 'a missed expectation fails the run', r.stdout)
	again = json.loads(sim.run(sim.drill(least=1000000), '--json', '--set', 'store=lmdb').stdout)
	tap.ok(again['trace'] == j['trace'], 'the same trace with LMDB', f"{again['trace']} {j['trace']}")


def cut_short(sim, tap):
	path, page = sim.drill('long.conf', length='300d'), os.path.join(sim.folder, 'cut.html')
	status, out, seen = interrupted(sim, path, '--report', page)
	tap.ok(status == 1 and 'CUT SHORT' in out and 'promises\n' in out, 'interrupted: the text is written and marked', out[-2000:])
	tap.ok(' of at most 300d ' in seen and ' events' in seen, 'a progress line on a terminal', seen)
	with open(page, encoding='utf-8') as f:
		p = Page(f.read())
	tap.ok('The run was cut short' in ''.join(p.words) and not p.open and not p.wrong, 'interrupted: the page is written, whole and marked', p.open)
	status, out, _ = interrupted(sim, path, '--json')
	j = json.loads(out)
	tap.ok(status == 1 and j['cut_short'] is True and j['ok'] is False and j['events'] > 0, 'interrupted: the object is written and marked', out)


def report_page(sim, tap):
	page = os.path.join(sim.folder, 'page.html')
	r = sim.run(os.path.basename(sim.drill("it's <two>.conf")), '--report', page)
	with open(page, encoding='utf-8') as f:
		text = f.read()
	p = Page(text)
	shown = ''.join(p.words)
	tap.ok(r.returncode == 0 and not p.open and not p.wrong, 'the page is well formed', f'{p.open} {p.wrong} {r.stderr}')
	tap.ok(not p.outside and 'url(' not in text and '@import' not in text and '<script' not in text, 'nothing in it comes from outside', p.outside)
	tap.ok('<b>two</b> & no more' in shown and "again: estafette-sim run 'it'\\''s <two>.conf' --seed 1" in shown, 'what people wrote is shown as they wrote it', shown[:900])
	for what in ('seed 1', 'estafette ', 'Promises', 'Queues', 'Links', 'Who served which queues', 'What happened', 'nobody', 'courier', '2021-07-14 02:00'):
		tap.ok(what in shown, f'the page shows: {what}', shown[:900])
	tap.ok('prefers-color-scheme:dark' in text, 'the page has a dark face')
	r = sim.run(sim.drill(), '--report', os.path.join(sim.folder, 'no', 'such.html'))
	tap.ok(r.returncode == 1 and 'such.html' in r.stderr and 'kept' in r.stdout, 'a page that cannot be written fails the run, after its text', r.stderr)


def journals(sim, tap):
	place = os.path.join(sim.folder, 'place')
	os.mkdir(place)
	r = sim.run(sim.drill(), '--set', 'store=lmdb', TMPDIR=place)
	tap.ok(r.returncode == 0 and os.listdir(place) == [], 'journals are made in a folder of their own, and are gone', r.stderr)
	r = sim.run(sim.drill(), '--set', 'store=lmdb', TMPDIR=os.path.join(sim.folder, 'nowhere'))
	tap.ok(r.returncode == 1 and 'nowhere' in r.stderr and 'TMPDIR' in r.stderr, 'no place for journals', r.stderr)


def compared(sim, tap):
	"""Two runs side by side: the figures are those of the runs alone."""
	a, b, page = sim.drill('a.conf'), sim.drill('b.conf', site='cic-namen', least=1000000), os.path.join(sim.folder, 'compare.html')
	r = sim.run(a, b, '--seed', '5', '--json', '--report', page, command='compare')
	j = json.loads(r.stdout)
	alone = [json.loads(sim.run(x, '--seed', '5', '--json').stdout) for x in (a, b)]
	tap.ok(r.returncode == 0 and not r.stderr and j['ok'] and j['seed'] == 5 and not j['same'], 'compare: two drills, a missed expectation is no failure', r.stderr)
	tap.ok([j[s]['trace'] for s in 'ab'] == [x['trace'] for x in alone] and [j[s]['accepted'] for s in 'ab'] == [x['accepted'] for x in alone],
	       'compare: each side is the run alone', r.stdout)
	tap.ok(j['a']['expectations_missed'] == 0 and j['b']['expectations_missed'] == 1 and 'expectations_missed' in j['differ'] and
	       {(e['a'], e['b']) for e in j['expectations']} == {('met', None), (None, 'missed'), ('skipped', 'skipped'), ('met', 'met')},
	       'compare: expectations are matched', j['expectations'])
	tap.ok({s['site'] for s in j['sites']} == {'cic-luik', 'cic-namen'} and all(s[x]['most_waiting'] >= 0 for s in j['sites'] for x in 'ab'), 'compare: each site', j['sites'])
	with open(page, encoding='utf-8') as f:
		p = Page(f.read())
	shown = ''.join(p.words)
	tap.ok(not p.open and not p.wrong and not p.outside and 'B less A' in shown and 'cic-namen' in shown and '<b>two</b> & no more' in shown and j['repeat'] in shown,
	       'compare: the page', f'{p.open} {p.wrong} {shown[:600]}')
	r = sim.run(a, '--set', 'length=12min', '--json', command='compare')
	j = json.loads(r.stdout)
	tap.ok(j['a']['set'] is None and j['b']['set'] == 'length=12min' and j['a']['accepted'] > j['b']['accepted'], 'compare: one drill, with and without', r.stdout)
	r = sim.run(a, '--set', 'length=12min', '--set', 'length=12min', command='compare')
	tap.ok('the two runs are the same' in r.stdout, 'compare: the same twice', r.stdout)
	r = sim.run(a, 'nowhere.conf', command='compare')
	tap.ok(r.returncode == 1 and not r.stdout and r.stderr.startswith('estafette-sim: nowhere.conf: ') and r.stderr.count('\n') == 1, 'compare: no such drill', r.stderr)
	for args in ((), (a,), (a, b, a), (a, '--set', 'a=1', '--set', 'a=2', '--set', 'a=3'), (a, b, '--seeds', '1..2'), (a, b, '--set', 'x=1')):
		r = sim.run(*args, command='compare')
		tap.ok(r.returncode == 2 and r.stderr.count('\n') == 1, 'bad usage: compare ' + ' '.join(args[1:]), f'{r.returncode} {r.stderr}')


def main():
	arguments = argparse.ArgumentParser()
	arguments.add_argument('--bin', required=True)
	args = arguments.parse_args()
	folder, tap = tempfile.mkdtemp(prefix='test-sim-'), Tap()
	sim = Sim(os.path.abspath(os.path.join(args.bin, 'estafette-sim')), folder)
	try:
		for part in (bad_input, members, cut_short, report_page, journals, compared):
			part(sim, tap)
	finally:
		shutil.rmtree(folder, ignore_errors=True)
	print(f'1..{tap.n}')
	return 1 if tap.failed else 0


if __name__ == '__main__':
	sys.exit(main())
