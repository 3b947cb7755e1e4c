#include "node/cli/cli.h"

/* The assembler takes the file in as it is; the Makefile builds from the root of the repository. */
__asm__(".section .rodata\n"
	".hidden belgium_begin\n"
	".hidden belgium_end\n"
	".global belgium_begin\n"
	".global belgium_end\n"
	"belgium_begin:\n"
	".incbin \"conf/belgium.conf\"\n"
	"belgium_end:\n"
	".byte 0\n"
	".previous\n");

extern const uint8_t belgium_begin[] __attribute__((visibility("hidden"))), belgium_end[] __attribute__((visibility("hidden")));

struct view belgium_conf(void)
{
	return view_of(belgium_begin, (size_t)(belgium_end - belgium_begin));
}
