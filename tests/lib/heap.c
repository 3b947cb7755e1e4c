#include "tests/lib/heap.h"

static size_t now[HEAP_KINDS], most[HEAP_KINDS];

size_t heap_most(enum heap_of which)
{
	return most[which];
}

void heap_most_anew(void)
{
	for (int i = 0; i < HEAP_KINDS; i++)
		most[i] = now[i];
}

#ifdef __SANITIZE_ADDRESS__
bool heap_counted(void)
{
	return false;
}
#else
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#define PAGE 4096
#define PAGE_MORE 32 /* a block may be a little larger than was asked for */

/* The C library's own, which what follows stands before, in all libraries. */
#pragma GCC visibility push(default)
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);
void __libc_free(void *p);

bool heap_counted(void)
{
	return true;
}

static void count(enum heap_of which, size_t got, size_t gone)
{
	now[which] += got - gone;
	most[which] = now[which] > most[which] ? now[which] : most[which];
}

static void block(size_t got, size_t gone)
{
	count(HEAP_ALL, got, gone);
	count(HEAP_BUT_PAGES, got / PAGE == 1 && got % PAGE < PAGE_MORE ? 0 : got, gone / PAGE == 1 && gone % PAGE < PAGE_MORE ? 0 : gone);
}

static void *in(void *p)
{
	if (p)
		block(malloc_usable_size(p), 0);
	return p;
}

void *malloc(size_t n)
{
	return in(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
	return in(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n)
{
	size_t had = p ? malloc_usable_size(p) : 0;
	void *moved = __libc_realloc(p, n);

	if (!moved && n)
		return NULL; /* p stays */
	block(moved ? malloc_usable_size(moved) : 0, had);
	return moved;
}

void free(void *p)
{
	if (p)
		block(0, malloc_usable_size(p));
	__libc_free(p);
}

void *memalign(size_t align, size_t n)
{
	return in(__libc_memalign(align, n));
}

void *aligned_alloc(size_t align, size_t n)
{
	return memalign(align, n);
}

int posix_memalign(void **p, size_t align, size_t n)
{
	void *got = memalign(align, n);

	if (!got)
		return ENOMEM;
	*p = got;
	return 0;
}
#endif
