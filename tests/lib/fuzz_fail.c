/* Apart from the driver, so that a target links with another engine's main as well. */
#include "tests/lib/fuzz_driver.h"

#include <stdio.h>
#include <stdlib.h>

void fuzz_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}
