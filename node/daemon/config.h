/* config.h - node.conf: every setting, checked against one table (config.c), and the files it names.
 *
 * libconfig's syntax; sizes and durations are strings with a unit, since its integers wrap silently. Every mistake is
 * "file:line: setting: why (what to do)". Also linked into the command, so nothing of the network is known here. */
#ifndef NODE_DAEMON_CONFIG_H
#define NODE_DAEMON_CONFIG_H

#include "proto/buf.h"
#include "proto/err.h"
#include "proto/id.h"
#include "proto/keyfile.h"
#include "proto/limits.h"
#include "proto/roster.h"

#define CONFIG_PATH_BYTES 4096
#define CONFIG_CLIENTS 64
/* What sun_path holds beside its NUL. */
#define CONFIG_SOCKET_PATH_BYTES 107

/* Who may use the local socket. */
struct config_client {
	bool by_group;              /* id is a gid */
	uint32_t id;
	char name[LIMIT_USER_BYTES + 1];
	bool may_send, may_take, may_operate;
	uint8_t precedence;         /* the most urgent it may send */
	uint32_t flash_per_hour;    /* 0: no quota */
};

struct config {
	char file[CONFIG_PATH_BYTES];
	char site[LIMIT_NAME_BYTES + 1];
	char roster[CONFIG_PATH_BYTES];    /* its signature is beside it, with ".minisig" */
	char authority[CONFIG_PATH_BYTES]; /* minisign public key */
	char keys[CONFIG_PATH_BYTES];
	char journal[CONFIG_PATH_BYTES];   /* a folder */
	char socket[CONFIG_PATH_BYTES];
	size_t n_bind;                     /* 0: the endpoints that the roster gives this site */
	char bind[LIMIT_BEARERS][LIMIT_ENDPOINT_BYTES + 1];
	bool clients_given;                /* false: the daemon's own user may do everything */
	size_t n_clients;
	struct config_client clients[CONFIG_CLIENTS];
	int log_level;                     /* as syslog */
	int64_t quota_bytes, reserve_bytes;
	int64_t lease_us, probe_us, unattended_us, clock_skew_us;
	int64_t scrub_us;      /* the whole journal is read through in so long: core.h */
	int64_t keep_bodies_us, keep_headers_us, keep_exercise_bodies_us, keep_exercise_headers_us, keep_unread_us; /* retain.h */
	int64_t assist_waiting, assist_oldest_us, assist_stop; /* core.h; waiting and oldest 0: nothing is lent by itself */
	int64_t window_urgent_bytes, window_bulk_bytes;
	int64_t max_clients, commit_batch, queue_bytes;
	int64_t heartbeat_us, heartbeat_timeout_us, handshake_us, connect_timeout_us, reconnect_us, reconnect_max_us;
	int64_t bearer_patience_us;        /* a bearer of which nothing is known gives way to the next when it does not answer within it */
	int64_t socket_buffer_bytes;       /* of the kernel, a connection and direction; 0: the kernel's own choice */
	bool link_self_test;
};

/* Reads and checks the whole file. ERR_NOT_FOUND, ERR_IO, ERR_TOO_LARGE, ERR_FORMAT, ERR_RANGE; m filled. */
MUST_USE enum err config_load(const char *path, struct config *out, struct errmsg *m);

/* The public key that signs rosters. ERR_FORMAT and those of config_read_whole; m filled. */
MUST_USE enum err config_load_authority(const struct config *c, struct minisign_public *out, struct errmsg *m);

/* The roster it names, its signature by the authority verified first. *out is freed with roster_free. m filled. */
/* Where a dictionary that the roster names may lie: beside the roster, named by the first 8 digits of its hash. */
void config_dictionary_path(const struct config *c, const struct hash *h, char *out, size_t size);
MUST_USE enum err config_load_roster(const struct config *c, struct roster **out, struct errmsg *m);

/* The secret keys. ERR_NOT_PERMITTED when others than their owner can read or write the file, or the owner is neither we
 * nor root; ERR_CONFLICT when they are another site's; m filled. The caller wipes out with site_keys_wipe. */
MUST_USE enum err config_load_keys(const struct config *c, struct site_keys *out, struct errmsg *m);

/* A whole small file, appended to out. ERR_NOT_FOUND, ERR_IO, ERR_TOO_LARGE (over max bytes), ERR_NOMEM; m filled. */
MUST_USE enum err config_read_whole(const char *path, size_t max, struct buf *out, struct errmsg *m);

#endif
