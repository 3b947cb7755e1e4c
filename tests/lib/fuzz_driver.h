/* fuzz_driver.h - feeds a decoder with inputs that nobody would send, the same ones for the same seed.
 *
 * A target (tests/fuzz/fuzz_x.c) has two functions and no main: the driver's own is linked with it.
 *
 *   build/tests/fuzz/fuzz_x [--runs N] [--seconds N] [--seed S] [FILE...]
 *
 * Files are run as they are, once each (to repeat a failure); otherwise inputs are made by mutation of the target's
 * seeds and of mutated inputs that were taken. When the process dies, the run and the input are printed in hexadecimal.
 * The output is TAP. With another engine (libFuzzer) the target is linked without this file. */
#ifndef TESTS_FUZZ_DRIVER_H
#define TESTS_FUZZ_DRIVER_H

#include "proto/buf.h"

/* 0 when the input was taken, -1 when it was refused. What must hold is asserted inside. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
/* Appends good input number n (from 0) to out; false when there are no more. At least one; all are taken. */
bool fuzz_seed(unsigned n, struct buf *out);

/* Ends the process, with the place, when something that must hold does not. */
#define fuzz_assert(holds) ((holds) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #holds))
void fuzz_fail(const char *file, int line, const char *what) __attribute__((noreturn));

#endif
