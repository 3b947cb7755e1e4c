/* belgium.h - the text of conf/belgium.conf, compiled in, so that a drill needs no file but its own. */
#ifndef SIM_BELGIUM_H
#define SIM_BELGIUM_H

#include "proto/view.h"

struct view sim_belgium(void); /* lives for ever */

#endif
