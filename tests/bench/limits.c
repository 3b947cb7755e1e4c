/* limits.c - what this machine can do at all, measured in the same run as the benchmark: limits DIR [SECONDS]
 *
 * lmdb_rate: records of 1 KiB a second, 100 to a synced commit, the least that "accepted" costs. curve_rate: frames of
 * 64 KiB a second over one CURVE connection on loopback, the least that a link costs. Prints "key value" lines. */
#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define RECORD_BYTES 1024
#define PER_COMMIT 100
#define FRAME_BYTES 65536
#define KEY_SIZE 41

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void need(int rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "limits: %s: %s\n", what, mdb_strerror(rc));
	exit(1);
}

/* ---- LMDB ---------------------------------------------------------------------------------------------------------- */

static void put_some(MDB_env *env, uint64_t *number)
{
	MDB_txn *t;
	MDB_dbi dbi;
	char record[RECORD_BYTES];
	need(mdb_txn_begin(env, NULL, 0, &t), "begin");
	need(mdb_dbi_open(t, NULL, 0, &dbi), "open");
	memset(record, 'x', sizeof record);
	for (int i = 0; i < PER_COMMIT; i++) {
		uint64_t n = ++*number;
		unsigned char key[8];
		for (int k = 7; k >= 0; k--, n >>= 8)
			key[k] = (unsigned char)n;
		memcpy(record, key, sizeof key);
		MDB_val k = {sizeof key, key}, v = {sizeof record, record};
		need(mdb_put(t, dbi, &k, &v, MDB_APPEND), "put");
	}
	need(mdb_txn_commit(t), "commit");
}

static void lmdb(const char *dir, double seconds)
{
	MDB_env *env;
	char path[4096];
	uint64_t number = 0;
	snprintf(path, sizeof path, "%s/limits.mdb", dir);
	need(mdb_env_create(&env), "create");
	need(mdb_env_set_mapsize(env, (size_t)16 << 30), "mapsize");
	need(mdb_env_open(env, path, MDB_NOSUBDIR, 0600), path);
	double start = now_s();
	while (now_s() - start < seconds)
		put_some(env, &number);
	double took = now_s() - start;
	printf("lmdb_rate %.0f\nlmdb_commit_us %.0f\n", (double)number / took, took / ((double)number / PER_COMMIT) * 1e6);
	mdb_env_close(env);
	unlink(path);
	strcat(path, "-lock");
	unlink(path);
}

/* ---- CURVE -------------------------------------------------------------------------------------------------------- */

struct receiver { void *socket; uint64_t frames; };

static void *receive(void *arg)
{
	struct receiver *r = arg;
	zmq_msg_t m;
	for (;;) {
		zmq_msg_init(&m);
		if (zmq_msg_recv(&m, r->socket, 0) < 0)
			return NULL;
		size_t n = zmq_msg_size(&m);
		zmq_msg_close(&m);
		if (n != FRAME_BYTES) /* the short one is the last */
			return NULL;
		r->frames++;
	}
}

static void *curve_socket(void *ctx, int type, const char *server_public, const char *pub, const char *sec)
{
	void *s = zmq_socket(ctx, type);
	int yes = 1, hwm = 64, linger = 0;
	zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof linger);
	zmq_setsockopt(s, type == ZMQ_PUSH ? ZMQ_SNDHWM : ZMQ_RCVHWM, &hwm, sizeof hwm);
	if (server_public == NULL)
		zmq_setsockopt(s, ZMQ_CURVE_SERVER, &yes, sizeof yes);
	else
		zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, server_public, KEY_SIZE);
	if (server_public != NULL)
		zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, pub, KEY_SIZE);
	zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, sec, KEY_SIZE);
	return s;
}

static void curve(double seconds)
{
	char server_pub[KEY_SIZE], server_sec[KEY_SIZE], pub[KEY_SIZE], sec[KEY_SIZE], endpoint[256];
	size_t n = sizeof endpoint;
	pthread_t thread;
	char *frame = calloc(1, FRAME_BYTES);
	void *ctx = zmq_ctx_new();
	if (frame == NULL || zmq_curve_keypair(server_pub, server_sec) != 0 || zmq_curve_keypair(pub, sec) != 0)
		need(errno, "keys");
	struct receiver r = {curve_socket(ctx, ZMQ_PULL, NULL, NULL, server_sec), 0};
	void *s = curve_socket(ctx, ZMQ_PUSH, server_pub, pub, sec);
	if (zmq_bind(r.socket, "tcp://127.0.0.1:*") != 0 || zmq_getsockopt(r.socket, ZMQ_LAST_ENDPOINT, endpoint, &n) != 0 ||
	    zmq_connect(s, endpoint) != 0)
		need(errno, "loopback");
	need(pthread_create(&thread, NULL, receive, &r), "thread");
	zmq_send(s, frame, FRAME_BYTES, 0); /* the handshake is not measured */
	double start = now_s();
	while (now_s() - start < seconds)
		zmq_send(s, frame, FRAME_BYTES, 0);
	zmq_send(s, frame, 1, 0);
	pthread_join(thread, NULL);
	printf("curve_rate %.0f\n", (double)r.frames / (now_s() - start));
	zmq_close(s);
	zmq_close(r.socket);
	zmq_ctx_term(ctx);
	free(frame);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fputs("usage: limits DIR [SECONDS]\n", stderr);
		return 2;
	}
	double seconds = argc > 2 ? atof(argv[2]) : 2;
	lmdb(argv[1], seconds);
	curve(seconds);
	return 0;
}
