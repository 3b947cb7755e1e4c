/* log.h - lines to standard error. With "<N>" in front under systemd, whose journal adds the time; else with the time.
 *
 * One write(2) a line, so that lines of both threads never mix. No secret, no subject and no body is ever logged. */
#ifndef NODE_DAEMON_LOG_H
#define NODE_DAEMON_LOG_H

#include "proto/err.h"

/* Levels as syslog: a smaller one is worse. */
enum log_level { LEVEL_CRITICAL = 2, LEVEL_ERROR = 3, LEVEL_WARNING = 4, LEVEL_NOTICE = 5, LEVEL_INFO = 6, LEVEL_DEBUG = 7 };

/* Looks whether systemd listens. Call before there are threads; without it lines are plain. */
void log_start(void);
/* Lines of a level over max are not written. May be changed at any time, by any thread. */
void log_set_level(int max);
void log_line(int level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
