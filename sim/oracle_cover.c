/* oracle_cover.c - the names of promises, faults and rare branches, and their counts. */
#include "sim/oracle_int.h"

const char *promise_name(unsigned p)
{
	static const char *const names[PROMISES] = {"lost", "altered", "misdelivered", "twice", "order", "flash", "frontier", "answer", "converge", "orders", "minimize"};

	return p < PROMISES ? names[p] : "?";
}

const char *promise_text(unsigned p)
{
	static const char *const texts[PROMISES] = {
		"An accepted message is not lost while one journal that holds it survives",
		"Nothing is altered: not a body, not a word, not an entry in any journal",
		"Nothing is delivered that was not sent, or to someone it was not for",
		"Never silently twice: what was acknowledged is not handed out again",
		"Entries keep their order, and the more urgent goes first",
		"FLASH is never behind bulk: its delay is bounded by what is in the wire",
		"Commit, then speak: a frontier never goes back nor says more than the journal",
		"Every answer to a client is true",
		"After the last repair everything comes together in bounded time",
		"After the last repair all sites show the same orders in force",
		"While MINIMIZE is in force nobody who knows of it sends on what it holds back",
	};

	return p < PROMISES ? texts[p] : "?";
}

const char *fault_kind_name(unsigned k)
{
	static const char *const names[FAULT_KINDS] = {
		"crash", "power-cut", "pause", "stop", "link-down", "cut", "link-reset", "link-stall", "degrade", "bearer-change", "partition",
		"clock-step", "clock-drift", "clock-offset", "disk-full", "disk-slow", "commit-fail", "sync-fail", "flip-bit", "lose-disk", "restore",
		"roster", "desk-crash", "desk-refuses", "client-retry", "relocate", "handback",
	};

	return k < FAULT_KINDS ? names[k] : "?";
}

const char *rare_name(unsigned r)
{
	static const char *const names[RARES] = {
		"group", "chunked-body", "duplicate-key", "perhaps-seen", "lease-returned", "refused", "expired", "cancelled", "resent-entry",
		"via-another-site", "recovered", "unanswered-kept", "no-room", "rebirth", "flash-overtook", "damage-found", "held-by-standby-only", "served-elsewhere",
		"handled-elsewhere", "lent",
	};

	return r < RARES ? names[r] : "?";
}

void oracle_fault(struct oracle *o, enum fault_kind k)
{
	o->v.faults[k]++;
}

void oracle_struck(struct oracle *o, enum fault_kind k, uint64_t times)
{
	o->v.faults[k] += times;
}

void oracle_rare(struct oracle *o, enum rare r)
{
	o->v.rares[r]++;
}
