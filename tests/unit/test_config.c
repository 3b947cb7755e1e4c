/* node.conf: every setting, every way to get one wrong, and the files it names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/daemon/config.c"

#define REQUIRED                                                                                                                   \
	"site = \"cic-luik\";\nroster = \"roster.conf\";\nauthority = \"authority.pub\";\nkeys = \"keys\";\njournal = \"journal\";\n" \
	"socket = \"/run/x.sock\";\n" /* six lines: what is added begins at line 7 */

static char folder[] = "/tmp/estafette-config-XXXXXX";
static char conf[64];
static struct config c, d;
static struct errmsg m;

static void put(const char *path, const void *bytes, size_t n, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, n), n);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static enum err load_text(const char *text)
{
	memset(&m, 0, sizeof m);
	put(conf, text, strlen(text), 0600);
	return config_load(conf, &c, &m);
}

static void with(const char *more, char *out, size_t size)
{
	assert_true(snprintf(out, size, "%s%s", REQUIRED, more) < (int)size);
}

static enum err load_with(const char *more)
{
	char text[8192];

	with(more, text, sizeof text);
	return load_text(text);
}

static void required_alone_gives_the_defaults(void **state)
{
	char path[128];

	(void)state;
	assert_int_equal(load_text(REQUIRED), ERR_OK);
	assert_string_equal(c.site, "cic-luik");
	snprintf(path, sizeof path, "%s/journal", folder);
	assert_string_equal(c.journal, path);
	assert_string_equal(c.socket, "/run/x.sock");
	assert_int_equal(c.quota_bytes, 16LL << 30);
	assert_int_equal(c.lease_us, 300 * US_PER_S);
	assert_int_equal(c.commit_batch, 1024);
	assert_int_equal(c.queue_bytes, 16 << 20);
	assert_int_equal(c.max_clients, 256);
	assert_int_equal(c.log_level, 6);
	assert_true(c.link_self_test);
	assert_false(c.clients_given);
	assert_int_equal(c.n_bind, 0);
}

static void wipe_paths(struct config *x)
{
	memset(x->file, 0, sizeof x->file);
	memset(x->roster, 0, sizeof x->roster);
	memset(x->authority, 0, sizeof x->authority);
	memset(x->keys, 0, sizeof x->keys);
	memset(x->journal, 0, sizeof x->journal);
	memset(x->socket, 0, sizeof x->socket);
}

/* The commented file in conf/ says the defaults, and says all of them. */
static void node_conf_equals_the_defaults(void **state)
{
	struct buf text = BUF_EMPTY;

	(void)state;
	assert_int_equal(config_load("conf/node.conf", &d, &m), ERR_OK);
	assert_int_equal(load_text(REQUIRED), ERR_OK);
	wipe_paths(&c);
	wipe_paths(&d);
	assert_memory_equal(&c, &d, sizeof c);
	assert_int_equal(config_read_whole("conf/node.conf", CONFIG_FILE_BYTES, &text, &m), ERR_OK);
	buf_add_u8(&text, 0);
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const char *comment = settings[i].kind == KIND_BIND || settings[i].kind == KIND_CLIENTS ? "# " : "";
		char line[80];

		snprintf(line, sizeof line, "\n%s%s = ", comment, settings[i].name);
		if (!strstr((const char *)text.ptr, line))
			fail_msg("conf/node.conf does not show %s", settings[i].name);
	}
	buf_release(&text);
}

static void each_required_setting_is_required(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_SETTINGS; i++) {
		char text[1024] = REQUIRED, *line;
		size_t n;

		if (settings[i].fallback || settings[i].kind == KIND_BIND || settings[i].kind == KIND_CLIENTS || settings[i].kind == KIND_ASSIST)
			continue;
		line = strstr(text, settings[i].name);
		n = strcspn(line, "\n");
		memset(line, ' ', n);
		assert_int_equal(load_text(text), ERR_FORMAT);
		assert_non_null(strstr(m.text, settings[i].name));
		assert_non_null(strstr(m.text, "required"));
	}
}

/* What is wrong, the error, and what the message must begin with after the file's name. */
static const struct {
	const char *text;
	enum err err;
	const char *says;
} bad[] = {
	{"colour = \"blue\";", ERR_FORMAT, ":7: colour: unknown setting"},
	{"\n\nlease = \"5\";", ERR_FORMAT, ":9: lease: not a duration"},
	{"lease = 5;", ERR_FORMAT, ":7: lease: not a duration"},
	{"lease = \"0\";", ERR_RANGE, ":7: lease: outside 1s to 1d"},
	{"lease = \"25h\";", ERR_RANGE, ":7: lease: outside"},
	{"lease = \"200000d\";", ERR_RANGE, ":7: lease: outside"},
	{"quota = \"16 GiB\";", ERR_FORMAT, ":7: quota: not a size"},
	{"quota = \"16GB\";", ERR_FORMAT, ":7: quota: not a size"},
	{"quota = \"1MiB\";", ERR_RANGE, ":7: quota: outside 16MiB to 1048576GiB"},
	{"quota = \"-1GiB\";", ERR_RANGE, ":7: quota: outside"},
	{"quota = true;", ERR_FORMAT, ":7: quota: not a size"},
	{"max_clients = 0;", ERR_RANGE, ":7: max_clients: outside 1 to 4096"},
	{"max_clients = \"7\";", ERR_FORMAT, ":7: max_clients: not a whole number"},
	{"max_clients = 1.5;", ERR_FORMAT, ":7: max_clients: not a whole number"},
	{"max_clients = 4294967297;", ERR_RANGE, ":7: a number of ten digits"},
	{"/* a\nb */ max_clients = 0x100000001;", ERR_RANGE, ":8: a number of ten digits"},
	{"assist = 40;", ERR_FORMAT, ":7: assist: not a group"},
	{"assist = { waiting = \"40\"; };", ERR_FORMAT, ":7: waiting: not a whole number"},
	{"assist = { waiting = -1; };", ERR_RANGE, ":7: waiting: outside 0 to 1000000"},
	{"assist = {\noldest = 10; };", ERR_FORMAT, ":8: oldest: not a duration"},
	{"assist = { oldest = \"2d\"; };", ERR_RANGE, ":7: oldest: outside 0 to 1d"},
	{"assist = { waiting = 40; stop = 40; };", ERR_RANGE, ":7: assist: stop is not below waiting"},
	{"assist = { until = 20; };", ERR_FORMAT, ":7: until: unknown setting of assist"},
	{"link_self_test = 1;", ERR_FORMAT, ":7: link_self_test: neither true nor false"},
	{"log_level = \"loud\";", ERR_FORMAT, ":7: log_level: not a level"},
	{"bind = \"tcp://127.0.0.1:1\";", ERR_FORMAT, ":7: bind: not a list"},
	{"bind = ( \"tcp://node.example:4711\" );", ERR_FORMAT, ":7: bind: not an endpoint"},
	{"bind = ( \"tcp://127.0.0.1:0\" );", ERR_FORMAT, ":7: bind: not an endpoint"},
	{"bind = ( \"tcp://127.0.0.1:65536\" );", ERR_FORMAT, ":7: bind: not an endpoint"},
	{"bind = ( \"tcp://127.0.0.1\" );", ERR_FORMAT, ":7: bind: not an endpoint"},
	{"bind = ( \"ipc:///tmp/x\" );", ERR_FORMAT, ":7: bind: not an endpoint"},
	{"bind = ( 7 );", ERR_FORMAT, ":7: bind: not an endpoint"},
	{"clients = 7;", ERR_FORMAT, ":7: clients: not a list"},
	{"clients = ( 7 );", ERR_FORMAT, ":7: item: a client is a group"},
	{"clients = ( { may = ( \"send\" ); } );", ERR_FORMAT, ":7: item: a client needs either uid or gid"},
	{"clients = ( { uid = 0; gid = 0; may = ( \"send\" ); } );", ERR_FORMAT, ":7: item: a client needs either"},
	{"clients = ( { uid = 0; } );", ERR_FORMAT, ":7: item: this client may do nothing"},
	{"clients = ( {\nuid = 0;\nmay = ( \"fly\" ); } );", ERR_FORMAT, ":9: may: not a right"},
	{"clients = ( { uid = 0; may = \"send\"; } );", ERR_FORMAT, ":7: may: not a list"},
	{"clients = ( { uid = \"no-such-user-here\"; may = ( \"send\" ); } );", ERR_NOT_FOUND, ":7: uid: no such user"},
	{"clients = ( { gid = \"no-such-group-here\"; may = ( \"send\" ); } );", ERR_NOT_FOUND, ":7: gid: no such group"},
	{"clients = ( { uid = -1; may = ( \"send\" ); } );", ERR_NOT_FOUND, ":7: uid: no such user"},
	{"clients = ( { uid = \"4294967295\"; may = ( \"send\" ); } );", ERR_NOT_FOUND, ":7: uid: no such user"},
	{"clients = ( { uid = 0; may = ( \"send\" ); precedence = \"urgent\"; } );", ERR_FORMAT, ":7: precedence: not a precedence"},
	{"clients = ( { uid = 0; may = ( \"send\" ); flash_per_hour = -1; } );", ERR_RANGE, ":7: flash_per_hour: not a number"},
	{"clients = ( { uid = 0; may = ( \"send\" ); name = \"\"; } );", ERR_FORMAT, ":7: name: not a name"},
	{"clients = ( { uid = 0; may = ( \"send\" ); shoe = 43; } );", ERR_FORMAT, ":7: shoe: unknown setting of a client"},
	{"lease = \"1min\"; lease = \"2min\";", ERR_FORMAT, ":7: duplicate"},
	{"lease = ;", ERR_FORMAT, ":7: syntax error"},
	{"reserve = \"32GiB\";", ERR_RANGE, ": reserve: larger than quota"},
	{"heartbeat = \"90s\";", ERR_RANGE, ": heartbeat_timeout: shorter"},
	{"reconnect = \"30s\";", ERR_RANGE, ": reconnect_max: shorter"},
};

static void mistakes_are_said_with_file_and_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char says[256];
		enum err e = load_with(bad[i].text);

		snprintf(says, sizeof says, "%s%s", conf, bad[i].says);
		if (e != bad[i].err || strncmp(m.text, says, strlen(says)) != 0)
			fail_msg("%s\n  gives %d: %s\n  not   %d: %s", bad[i].text, e, m.text, bad[i].err, says);
	}
}

static void bad_site_and_paths(void **state)
{
	char text[8192];

	(void)state;
	assert_int_equal(load_text("site = \"CIC Luik\";"), ERR_FORMAT);
	assert_non_null(strstr(m.text, ":1: site: not a name"));
	assert_int_equal(load_text("roster = \"\";"), ERR_FORMAT);
	assert_int_equal(load_text("keys = \"credential:a/b\";"), ERR_NOT_FOUND);
	assert_non_null(strstr(m.text, "credential"));
	memset(text, 'a', sizeof text);
	memcpy(text, "journal = \"/", 12);
	strcpy(text + 5000, "\";");
	assert_int_equal(load_text(text), ERR_TOO_LARGE);
	assert_non_null(strstr(m.text, ":1: journal: not a path"));
}

static void a_socket_path_has_its_length(void **state)
{
	char text[1024], name[200];

	(void)state;
	for (size_t n = CONFIG_SOCKET_PATH_BYTES; n <= CONFIG_SOCKET_PATH_BYTES + 1; n++) {
		memset(name, 'a', n);
		name[0] = '/';
		name[n] = 0;
		snprintf(text, sizeof text, "site = \"a\"; roster = \"r\"; authority = \"a\"; keys = \"k\"; journal = \"j\"; socket = \"%s\";", name);
		assert_int_equal(load_text(text), n > CONFIG_SOCKET_PATH_BYTES ? ERR_TOO_LARGE : ERR_OK);
	}
	assert_non_null(strstr(m.text, "107 bytes"));
}

static void odd_files(void **state)
{
	static char big[CONFIG_FILE_BYTES + 2];
	char path[128];

	(void)state;
	snprintf(path, sizeof path, "%s/none", folder);
	assert_int_equal(config_load(path, &c, &m), ERR_NOT_FOUND);
	assert_non_null(strstr(m.text, path));
	assert_int_equal(config_load(folder, &c, &m), ERR_IO);
	put(conf, "site\0x", 6, 0600);
	assert_int_equal(config_load(conf, &c, &m), ERR_FORMAT);
	memset(big, '\n', sizeof big);
	put(conf, big, sizeof big, 0600);
	assert_int_equal(config_load(conf, &c, &m), ERR_TOO_LARGE);
	put(conf, "", 0, 0600);
	assert_int_equal(config_load(conf, &c, &m), ERR_FORMAT);
}

static void assist_in_full(void **state)
{
	(void)state;
	assert_int_equal(load_with("assist = { waiting = 40; oldest = \"10min\"; stop = 20; };"), ERR_OK);
	assert_int_equal(c.assist_waiting, 40);
	assert_int_equal(c.assist_oldest_us, 600 * US_PER_S);
	assert_int_equal(c.assist_stop, 20);
	assert_int_equal(load_with("assist = { oldest = \"10min\"; stop = 20; };"), ERR_OK);
	assert_int_equal(c.assist_waiting, 0);
	assert_int_equal(load_with(""), ERR_OK);
	assert_int_equal(c.assist_waiting, 0);
	assert_int_equal(c.assist_oldest_us, 0);
	assert_int_equal(c.assist_stop, 0);
}

static void clients_in_full(void **state)
{
	(void)state;
	assert_int_equal(load_with("clients = ( { uid = \"root\"; name = \"duty\"; may = ( \"send\", \"operate\" ); precedence = \"flash\"; "
	                           "flash_per_hour = 12; }, { gid = 4711; may = [ \"take\" ]; } );"),
	                 ERR_OK);
	assert_true(c.clients_given);
	assert_int_equal(c.n_clients, 2);
	assert_false(c.clients[0].by_group);
	assert_int_equal(c.clients[0].id, 0);
	assert_string_equal(c.clients[0].name, "duty");
	assert_true(c.clients[0].may_send && !c.clients[0].may_take && c.clients[0].may_operate);
	assert_int_equal(c.clients[0].precedence, PREC_FLASH);
	assert_int_equal(c.clients[0].flash_per_hour, 12);
	assert_true(c.clients[1].by_group);
	assert_int_equal(c.clients[1].id, 4711);
	assert_string_equal(c.clients[1].name, "gid-4711");
	assert_int_equal(c.clients[1].precedence, PREC_IMMEDIATE);
	assert_int_equal(load_with("clients = ( );"), ERR_OK);
	assert_true(c.clients_given); /* nobody may, which is not the same as no setting */
}

static void too_many_clients(void **state)
{
	char text[8192] = "clients = ( ";

	(void)state;
	for (int i = 0; i < CONFIG_CLIENTS + 1; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s{ uid = %d; may = ( \"send\" ); }", i ? "," : "", i);
	strcat(text, ");");
	assert_int_equal(load_with(text), ERR_TOO_LARGE);
}

static void endpoints(void **state)
{
	(void)state;
	assert_int_equal(load_with("bind = ( \"tcp://127.0.0.1:4711\", \"tcp://[::1]:4711\", \"tcp://*:1\" );"), ERR_OK);
	assert_int_equal(c.n_bind, 3);
	assert_string_equal(c.bind[1], "tcp://[::1]:4711");
}

static void numbers_in_text_and_comments_are_none(void **state)
{
	(void)state;
	assert_int_equal(load_with("# 12345678901234\n// 12345678901234\n/* 12345678901234 */\nlog_level = \"info\"; # \"\n"), ERR_OK);
	assert_int_equal(load_with("clients = ( { uid = 0; name = \"call \\\" 12345678901\"; may = ( \"send\" ); } );"), ERR_OK);
}

/* ---- keys ------------------------------------------------------------------------------------------------ */

static void write_keys(const char *site, mode_t mode)
{
	static const uint8_t seed[32] = {7};
	char text[4096];
	struct site_keys keys;

	site_keys_make(seed, site, "be-test", &keys);
	assert_int_equal(site_keys_format(&keys, text, sizeof text), ERR_OK);
	put(c.keys, text, strlen(text), mode);
}

static void keys_are_private(void **state)
{
	static const mode_t open_modes[] = {0640, 0620, 0604, 0602, 0666, 0610};
	struct site_keys keys;

	(void)state;
	assert_int_equal(load_text(REQUIRED), ERR_OK);
	assert_int_equal(config_load_keys(&c, &keys, &m), ERR_NOT_FOUND);
	write_keys("cic-luik", 0600);
	assert_int_equal(config_load_keys(&c, &keys, &m), ERR_OK);
	assert_string_equal(keys.site, "cic-luik");
	for (size_t i = 0; i < sizeof open_modes / sizeof open_modes[0]; i++) {
		write_keys("cic-luik", open_modes[i]);
		assert_int_equal(config_load_keys(&c, &keys, &m), ERR_NOT_PERMITTED);
		assert_non_null(strstr(m.text, "chmod 600"));
	}
	if (geteuid() == 0) {
		write_keys("cic-luik", 0600);
		assert_int_equal(chown(c.keys, 12345, 0), 0);
		assert_int_equal(config_load_keys(&c, &keys, &m), ERR_NOT_PERMITTED);
		assert_non_null(strstr(m.text, "12345"));
		assert_int_equal(chown(c.keys, 0, 0), 0);
	}
}

static void keys_of_another_site(void **state)
{
	struct site_keys keys;

	(void)state;
	assert_int_equal(load_text(REQUIRED), ERR_OK);
	write_keys("cic-namen", 0600);
	assert_int_equal(config_load_keys(&c, &keys, &m), ERR_CONFLICT);
	assert_non_null(strstr(m.text, "cic-namen"));
	assert_non_null(strstr(m.text, "cic-luik"));
	put(c.keys, "nonsense\n", 9, 0600);
	assert_int_not_equal(config_load_keys(&c, &keys, &m), ERR_OK);
	assert_non_null(strstr(m.text, c.keys));
}

static void keys_from_systemd(void **state)
{
	struct site_keys keys;

	(void)state;
	setenv("CREDENTIALS_DIRECTORY", folder, 1);
	assert_int_equal(load_text("site = \"cic-luik\"; roster = \"r\"; authority = \"a\"; keys = \"credential:keys\"; journal = \"j\"; socket = \"s\";"),
	                 ERR_OK);
	write_keys("cic-luik", 0440); /* how an access list shows */
	assert_int_equal(config_load_keys(&c, &keys, &m), ERR_OK);
	write_keys("cic-luik", 0444);
	assert_int_equal(config_load_keys(&c, &keys, &m), ERR_NOT_PERMITTED);
	assert_int_equal(load_text("keys = \"credential:../keys\";"), ERR_NOT_FOUND);
	unsetenv("CREDENTIALS_DIRECTORY");
	/* A desk reads the service's file, too, and only the keys are out of its reach. */
	assert_int_equal(load_text("site = \"cic-luik\"; roster = \"r\"; authority = \"a\"; keys = \"credential:keys\"; journal = \"j\"; socket = \"s\";"),
	                 ERR_OK);
	assert_int_equal(config_load_keys(&c, &keys, &m), ERR_NOT_FOUND);
	assert_non_null(strstr(m.text, "\"credential:keys\" only works in a systemd service"));
}

/* ---- the roster -------------------------------------------------------------------------------------------- */

static void write_authority(struct minisign_secret *sec)
{
	static const uint8_t seed[32] = {9};
	struct minisign_public pub = {.key_id = {1, 2, 3, 4, 5, 6, 7, 8}};
	char text[400];

	sign_keypair(seed, &pub.key, &sec->key);
	memcpy(sec->key_id, pub.key_id, sizeof pub.key_id);
	minisign_public_format(&pub, text, sizeof text);
	put(c.authority, text, strlen(text), 0644);
}

static void a_roster_must_be_signed(void **state)
{
	static const char text[] = "network = \"be-test\";\n";
	struct minisign_secret sec;
	char path[CONFIG_PATH_BYTES + 16], signature[600];
	struct roster *r = NULL;

	(void)state;
	assert_int_equal(load_text(REQUIRED), ERR_OK);
	snprintf(path, sizeof path, "%s.minisig", c.roster);
	assert_int_equal(config_load_roster(&c, &r, &m), ERR_NOT_FOUND);
	assert_non_null(strstr(m.text, c.authority));
	put(c.authority, "untrusted comment: x\n", 21, 0644);
	assert_int_equal(config_load_roster(&c, &r, &m), ERR_FORMAT);
	write_authority(&sec);
	assert_int_equal(config_load_roster(&c, &r, &m), ERR_NOT_FOUND);
	assert_non_null(strstr(m.text, c.roster));
	put(c.roster, text, strlen(text), 0644);
	assert_int_equal(config_load_roster(&c, &r, &m), ERR_NOT_FOUND);
	assert_non_null(strstr(m.text, path));
	assert_int_equal(minisign_sign(&sec, view_str("something else"), "x", signature, sizeof signature), ERR_OK);
	put(path, signature, strlen(signature), 0644);
	assert_int_equal(config_load_roster(&c, &r, &m), ERR_AUTH);
	assert_null(r);
}

static int begin(void **state)
{
	(void)state;
	snprintf(conf, sizeof conf, "%s", mkdtemp(folder) ? folder : "/nonexistent");
	strcat(conf, "/node.conf");
	return crypt_start() ? -1 : 0;
}

static int end(void **state)
{
	static const char *const names[] = {"node.conf", "keys", "authority.pub", "roster.conf", "roster.conf.minisig"};
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		unlink(path);
	}
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(required_alone_gives_the_defaults),
		cmocka_unit_test(node_conf_equals_the_defaults),
		cmocka_unit_test(each_required_setting_is_required),
		cmocka_unit_test(mistakes_are_said_with_file_and_line),
		cmocka_unit_test(bad_site_and_paths),
		cmocka_unit_test(a_socket_path_has_its_length),
		cmocka_unit_test(odd_files),
		cmocka_unit_test(assist_in_full),
		cmocka_unit_test(clients_in_full),
		cmocka_unit_test(too_many_clients),
		cmocka_unit_test(endpoints),
		cmocka_unit_test(numbers_in_text_and_comments_are_none),
		cmocka_unit_test(keys_are_private),
		cmocka_unit_test(keys_of_another_site),
		cmocka_unit_test(keys_from_systemd),
		cmocka_unit_test(a_roster_must_be_signed),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
