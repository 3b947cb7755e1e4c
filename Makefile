# estafette: build, test, demonstrate.
#
#   make            build everything into build/ (needs what `make setup` installs)
#   make setup      install the Debian packages that are missing
#   make demo       the main job: fifteen sites on this machine, one killed, nothing lost
#   make test       all tests, also under the address and undefined-behaviour sanitizers
#   make year       the whole year 2021 in the simulator, month by month, counted against the tables (about half an hour of CPU)
#   make bench      figures as ratios to this machine's own limits
#   make fuzz       a longer run of the decoders' fuzz targets; make sweep: many crash seeds, 10 000 orders, and
#                   a thousand contact schedules, a million flaps and 72 hours of outage on one line
#
# V=1 shows the commands; SAN=1 builds with sanitizers into build/san.

MAKEFLAGS += --no-builtin-rules
SAN ?= 0
ifeq ($(SAN),1)
  BUILD ?= build/san
  SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
  OPT ?= -O1
else
  BUILD ?= build
  SANFLAGS :=
  OPT ?= -O2
endif

CC := gcc
AR := gcc-ar
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Wundef -Wwrite-strings -Wno-missing-field-initializers
PKGS := lmdb libzmq libsodium libzstd libconfig jansson libsystemd libnl-route-3.0
# Without the packages plain `make` says so, rather than failing at the first #include.
PKG_MISSING := $(shell for p in $(PKGS); do pkg-config --exists $$p 2>/dev/null || echo $$p; done)
pkg = $(shell pkg-config --$(1) $(2) 2>/dev/null)

CFLAGS ?= -g
# Before ALL_CFLAGS, which takes its value at once.
VERSION := 0.1.0
ALL_CFLAGS := -std=gnu11 $(OPT) $(CFLAGS) $(WARN) $(WERROR) -fPIC -fvisibility=hidden -D_GNU_SOURCE -DBUILD_VERSION='"$(VERSION)"' -I. $(SANFLAGS) \
	$(call pkg,cflags,$(PKGS)) -MMD -MP
LIBS_PROTO := $(call pkg,libs,libsodium libzstd libconfig)
LIBS_STORAGE := $(call pkg,libs,lmdb)
LIBS_SIM := $(call pkg,libs,jansson libnl-route-3.0) -lm
LIBS_DAEMON := $(call pkg,libs,libzmq libsystemd libconfig) -lpthread

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-6s %s\n' '$(1)' '$(2)')

# ---- what there is, by layer: an arrow points only upwards in this list -------------------------------
PROTO_SRC   := $(sort $(wildcard proto/*.c))
STORAGE_SRC := $(sort $(wildcard storage/*.c))
CORE_SRC    := $(sort $(wildcard node/core/*.c))
DAEMON_SRC  := $(sort $(wildcard node/daemon/*.c))
CLIENT_SRC  := $(sort $(wildcard node/client/*.c))
CLI_SRC     := $(sort $(wildcard node/cli/*.c))
SIM_SRC     := $(sort $(wildcard sim/*.c))
# heap.c stands before malloc, in the programs that ask for it.
TESTLIB_SRC := $(sort $(filter-out tests/lib/heap.c,$(wildcard tests/lib/*.c)))
UNIT_SRC    := $(sort $(wildcard tests/unit/test_*.c) $(wildcard tests/contract/test_*.c))
FUZZ_SRC    := $(sort $(wildcard tests/fuzz/fuzz_*.c))
BENCH_SRC   := $(sort $(wildcard tests/bench/*.c))

objs = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
LIBPROTO := $(BUILD)/lib/libproto.a
LIBSTORAGE := $(BUILD)/lib/libstorage.a
LIBCORE := $(BUILD)/lib/libcore.a
LIBSIM := $(BUILD)/lib/libsim.a
UNIT_BIN := $(patsubst tests/%.c,$(BUILD)/tests/%,$(UNIT_SRC))
FUZZ_BIN := $(patsubst tests/%.c,$(BUILD)/tests/%,$(FUZZ_SRC))
BENCH_BIN := $(patsubst tests/%.c,$(BUILD)/tests/%,$(BENCH_SRC))

BINS := $(BUILD)/bin/estafetted $(BUILD)/bin/estafette $(BUILD)/bin/estafette-sim
CLIENTLIBS := $(BUILD)/lib/libestafette.a $(BUILD)/lib/libestafette.so $(BUILD)/lib/pkgconfig/estafette.pc $(BUILD)/include/estafette.h

.PHONY: all setup demo test check-layers bench fuzz sweep year mutants tests fuzzers benches clean install
all: packages $(BINS) $(CLIENTLIBS)

.PHONY: packages
packages:
ifneq ($(PKG_MISSING),)
	@echo "make: these libraries are missing: $(PKG_MISSING) (run 'make setup', which installs them)" >&2; exit 1
endif

$(LIBPROTO): $(call objs,$(PROTO_SRC))
$(LIBSTORAGE): $(call objs,$(STORAGE_SRC))
$(LIBCORE): $(call objs,$(CORE_SRC))
$(LIBSIM): $(call objs,$(filter-out sim/main.c,$(SIM_SRC)))
$(BUILD)/lib/libtest.a: $(call objs,$(TESTLIB_SRC))
# The client library brings the parts of proto it uses with it.
$(BUILD)/lib/libestafette.a: $(call objs,$(CLIENT_SRC) proto/request.c proto/cursor.c proto/buf.c proto/err.c proto/id.c proto/view.c proto/instant.c)
$(BUILD)/lib/%.a:
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D) && rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/lib/libestafette.so: $(call objs,$(CLIENT_SRC) proto/request.c proto/cursor.c proto/buf.c proto/err.c proto/id.c proto/view.c proto/instant.c)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(SANFLAGS) -shared -Wl,-soname,libestafette.so.0 -o $@ $^ && ln -sf libestafette.so $(@D)/libestafette.so.0

PREFIX ?= /usr/local
# $(call write_pc,PREFIX): made again by install, whose PREFIX may be another than that of the build.
write_pc = printf 'prefix=%s\nlibdir=$${prefix}/lib\nincludedir=$${prefix}/include\n\nName: estafette\nDescription: client library of the estafette store-and-forward node\nVersion: %s\nLibs: -L$${libdir} -lestafette\nCflags: -I$${includedir}\n' '$(1)' '$(VERSION)'
$(BUILD)/lib/pkgconfig/estafette.pc: Makefile
	$(Q)mkdir -p $(@D) && $(call write_pc,$(PREFIX)) > $@
$(BUILD)/include/estafette.h: node/client/estafette.h
	$(Q)mkdir -p $(@D) && cp $< $@

$(BUILD)/obj/%.o: %.c Makefile
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -c -o $@ $<
# The Belgian roster is compiled into the command and the simulator.
$(call objs,$(CLI_SRC) $(SIM_SRC)): conf/belgium.conf

$(BUILD)/bin/estafetted: $(call objs,$(DAEMON_SRC)) $(LIBCORE) $(LIBSTORAGE) $(LIBPROTO)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(SANFLAGS) -o $@ $^ $(LIBS_DAEMON) $(LIBS_STORAGE) $(LIBS_PROTO)

$(BUILD)/bin/estafette: $(call objs,$(CLI_SRC) node/daemon/config.c) $(call objs,$(CLIENT_SRC)) $(LIBCORE) $(LIBSTORAGE) $(LIBPROTO)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(SANFLAGS) -o $@ $^ $(LIBS_STORAGE) $(LIBS_PROTO) $(call pkg,libs,jansson libconfig)

$(BUILD)/bin/estafette-sim: $(BUILD)/obj/sim/main.o $(LIBSIM) $(LIBCORE) $(LIBSTORAGE) $(LIBPROTO)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(SANFLAGS) -o $@ $^ $(LIBS_STORAGE) $(LIBS_PROTO) $(LIBS_SIM)

# ---- tests ------------------------------------------------------------------------------------------------
# Tests of the simulator link it too, before the small world of tests/lib, which has some of the same names.
$(patsubst tests/%.c,$(BUILD)/tests/%,$(shell grep -ls '"sim/' $(UNIT_SRC))): $(LIBSIM)
$(patsubst tests/%.c,$(BUILD)/tests/%,$(shell grep -ls '"tests/lib/heap.h"' $(UNIT_SRC))): $(call objs,tests/lib/heap.c)
# Those of what the command exports as a drill link that.
$(patsubst tests/%.c,$(BUILD)/tests/%,$(shell grep -ls '"node/cli/export_links.h"' $(UNIT_SRC))): \
	$(call objs,$(addprefix node/cli/,export_drill.c export_drill_links.c export_links.c export_walk.c longwork.c belgium.c))
$(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(BUILD)/lib/libtest.a $(LIBCORE) $(LIBSTORAGE) $(LIBPROTO)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(SANFLAGS) -o $@ -Wl,--start-group $(filter %.o,$^) $(filter $(LIBSIM),$^) $(filter-out %.o $(LIBSIM),$^) -Wl,--end-group -lm $(call pkg,libs,cmocka libzmq jansson) $(if $(filter $(LIBSIM),$^),$(LIBS_SIM)) $(LIBS_STORAGE) $(LIBS_PROTO) -lpthread
$(BUILD)/tests/bench/%: $(BUILD)/obj/tests/bench/%.o $(BUILD)/lib/libestafette.a $(LIBSTORAGE) $(LIBPROTO)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(SANFLAGS) -o $@ $^ $(call pkg,libs,libzmq jansson) $(LIBS_STORAGE) $(LIBS_PROTO) -lpthread

# Objects of tests are kept: what did not change is only linked again.
.SECONDARY:
tests: $(UNIT_BIN)
fuzzers: $(FUZZ_BIN)
benches: $(BENCH_BIN)

setup:
	$(Q)tests/setup.sh
demo: setup
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/demo.sh $(BUILD)/bin
test: setup
	$(Q)tests/run.sh
check-layers: $(LIBPROTO) $(LIBSTORAGE) $(LIBCORE)
	$(Q)tests/layers.sh $(BUILD)
bench: setup
	$(Q)$(MAKE) --no-print-directory all benches
	$(Q)tests/bench/bench.sh $(BUILD)
	$(Q)tests/integration/test_resume.py --bin $(BUILD)/bin --mib 500 --seconds 5
fuzz: setup
	$(Q)tests/fuzz/fuzz.sh
sweep: setup
	$(Q)$(MAKE) --no-print-directory all
	$(Q)$(MAKE) --no-print-directory $(BUILD)/tests/unit/test_core_week
	$(Q)WEEK_DAYS=7 WEEK_MESSAGES=2000 $(BUILD)/tests/unit/test_core_week
	$(Q)tests/integration/crash.py --bin $(BUILD)/bin --kills 2000
	$(Q)tests/integration/test_takeover_sweep.py --bin $(BUILD)/bin --orders 10000
	$(Q)tests/integration/test_sweep.py --bin $(BUILD)/bin --drill tests/sweep/versions.conf --seeds 1..90
	$(Q)$(MAKE) --no-print-directory $(BUILD)/tests/unit/test_sim_window
	$(Q)$(MAKE) --no-print-directory $(BUILD)/tests/unit/test_sim_contacts
	$(Q)CONTACTS_SEEDS=1..1000 CONTACTS_PRINT=1 $(BUILD)/tests/unit/test_sim_contacts
	$(Q)FLAPS=1000000 OUTAGE_HOURS=72 WINDOW_ALL=1 WINDOW_PRINT=1 $(BUILD)/tests/unit/test_sim_window

year: setup
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/year.py --bin $(BUILD)/bin

# Planted bugs, each of which tests or simulator must catch.
mutants: setup
	$(Q)tests/mutants/run.sh

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/share/doc/estafette
	install -m 755 $(BINS) $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(BUILD)/lib/libestafette.a $(DESTDIR)$(PREFIX)/lib
	install -m 755 $(BUILD)/lib/libestafette.so $(DESTDIR)$(PREFIX)/lib/libestafette.so.0
	ln -sf libestafette.so.0 $(DESTDIR)$(PREFIX)/lib/libestafette.so
	$(call write_pc,$(PREFIX)) > $(DESTDIR)$(PREFIX)/lib/pkgconfig/estafette.pc
	chmod 644 $(DESTDIR)$(PREFIX)/lib/pkgconfig/estafette.pc
	install -m 644 node/client/estafette.h $(DESTDIR)$(PREFIX)/include
	install -m 644 node/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 node/man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5
	install -m 644 node/man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8
	sed 's|/usr/bin/|$(PREFIX)/bin/|' conf/systemd/estafetted@.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/estafetted@.service
	chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/estafetted@.service
	install -m 644 conf/node.conf conf/belgium.conf $(DESTDIR)$(PREFIX)/share/doc/estafette

clean:
	rm -rf build

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
