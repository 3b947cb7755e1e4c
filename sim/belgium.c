#include "sim/belgium.h"

/* The assembler takes the file in as it is; the Makefile builds from the root of the repository. */
__asm__(".section .rodata\n"
	".hidden sim_belgium_begin\n"
	".hidden sim_belgium_end\n"
	".global sim_belgium_begin\n"
	".global sim_belgium_end\n"
	"sim_belgium_begin:\n"
	".incbin \"conf/belgium.conf\"\n"
	"sim_belgium_end:\n"
	".byte 0\n"
	".previous\n");

extern const uint8_t sim_belgium_begin[] __attribute__((visibility("hidden"))), sim_belgium_end[] __attribute__((visibility("hidden")));

struct view sim_belgium(void)
{
	return view_of(sim_belgium_begin, (size_t)(sim_belgium_end - sim_belgium_begin));
}
