/* Report records, one after another: what is taken is, written again, the same bytes. */
#include "proto/limits.h"
#include "proto/report.h"
#include "tests/lib/fuzz_driver.h"

bool fuzz_seed(unsigned n, struct buf *out)
{
	static const uint8_t ids[4 * MSGID_BYTES] = {0x05, 0xc7};
	struct report_record r = {.event = EVENT_REFUSED, .addressee = 15, .when = {1626300300000000}, .by = view_str("desk1"),
				  .why = view_str("niet voor ons"), .ids = 2, .id_bytes = view_of(ids, 2 * MSGID_BYTES)};

	report_add(out, &r);
	if (n == 1) {
		r = (struct report_record){.event = EVENT_READ, .addressee = 15, .order = {{1}}, .ids = 4, .id_bytes = view_of(ids, sizeof ids)};
		report_add(out, &r);
	}
	return n < 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct view rest = view_of(data, len);
	struct buf again = BUF_EMPTY;
	struct report_record r;
	bool taken = len > 0;

	while (rest.len > 0) {
		size_t before = rest.len;

		taken = report_next(&rest, &r) == ERR_OK;
		if (!taken)
			break;
		fuzz_assert(report_bytes(&r) == before - rest.len);
		report_add(&again, &r);
		(void)report_event_name(r.event);
	}
	fuzz_assert(buf_ok(&again) && view_equal(buf_view(&again), view_of(data, len - rest.len)));
	buf_release(&again);
	return taken ? 0 : -1;
}
