/* heap.h - how much memory a test program has from malloc, to the byte, and the most that it had.
 *
 * heap.c puts itself before malloc, for the libraries too, and counts what each block really takes. It is not in libtest.a: the Makefile gives it
 * to the programs that include this header. It counts one thread, and under a sanitizer, which brings a malloc of its own, nothing. */
#ifndef TESTS_HEAP_H
#define TESTS_HEAP_H

#include <stdbool.h>
#include <stddef.h>

/* Blocks of one page are the store's: those that one transaction changed. There are more of them the more pages a batch meets, and a larger
 * journal has more to meet, up to what one batch can change; so what is compared to the byte is the rest. */
enum heap_of { HEAP_ALL, HEAP_BUT_PAGES, HEAP_KINDS };
bool heap_counted(void);               /* false under a sanitizer: heap_most says 0 */
size_t heap_most(enum heap_of which);  /* at one time, since the program began or heap_most_anew */
void heap_most_anew(void);

#endif
