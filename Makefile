# One target a task. ONLY=words selects the tests whose names contain them; SCRIPT=file is run in the guest.

# Where rustup puts cargo, for shells that do not know it yet.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

PREFIX = /usr/local
BINARY = target/release/dmsnap
RULES = $(PREFIX)/lib/udev/rules.d
UNITS = $(PREFIX)/lib/systemd/system

.PHONY: demo test test-long soak soak-smp build install lint fmt deps vm bench fuzz

# A snapshot of a busy volume, told step by step in a guest, beside lvm2.
demo: deps
	tests/demo/run

# Format, lints, unit tests and guest tests.
test: lint
	tests/setup/csi-sanity.sh
	DMSNAP_REQUIRE_VM=1 cargo test --locked --no-fail-fast $(ONLY)

# Each fuzz target for TIME seconds (60).
fuzz: deps
	TIME=$(TIME) fuzz/run

# Tests that gain by length, for longer: races, commands killed before each of their steps, the engine cut twice and by every power
# failure, power cuts at each instant of a recording, the simulated kernel against the real one.
test-long: deps
	cargo build --locked --bins --examples
	[ -n "$(ONLY)" ] || DMSNAP_LONG=1 cargo test --locked --test engine
	for tests in $(or $(ONLY),at_once killed_between killed_inside killed_at power_cut the_simulated_kernel); do \
	    DMSNAP_LONG=1 DMSNAP_REQUIRE_VM=1 cargo test --locked --no-fail-fast --test vm $$tests || exit; \
	done

# Power cuts, killed guests and commands at once, drawn by lot, until TIME is over. A failure says the seed that repeats it.
soak: deps
	cargo build --locked --bins --examples
	tests/vm/soak $(or $(TIME),1h)

# The races again, in a guest with two processors.
soak-smp: deps
	tests/setup/smp.sh
	cargo build --locked --bins --examples
	PROCESSORS=2 tests/vm/soak $(or $(TIME),30m)

build: deps
	cargo build --locked --release

# What `make build` made, with rules of udev, units of systemd, completions and man pages, below DESTDIR.
install:
	install -Dm755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/dmsnap
	install -d $(DESTDIR)$(RULES) $(DESTDIR)$(UNITS) $(DESTDIR)$(PREFIX)/share/man/man1
	for file in udev/*.rules deploy/systemd/*.service; do \
	    case $$file in *.rules) at=$(DESTDIR)$(RULES) ;; *) at=$(DESTDIR)$(UNITS) ;; esac; \
	    sed 's#/usr/bin/dmsnap#$(PREFIX)/bin/dmsnap#' $$file >$$at/$${file##*/} || exit; \
	done
	$(BINARY) man $(DESTDIR)$(PREFIX)/share/man/man1
	for shell in bash/bash-completion/completions/dmsnap zsh/zsh/site-functions/_dmsnap fish/fish/vendor_completions.d/dmsnap.fish; do \
	    file=$(DESTDIR)$(PREFIX)/share/$${shell#*/}; \
	    install -d $${file%/*} && $(BINARY) completions $${shell%%/*} >$$file || exit; \
	done

lint: deps
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

fmt:
	cargo fmt

# What metadata costs in large volume groups: alone, and in a guest beside lvm2.
bench: deps
	benches/run

# What a bare Debian 12 lacks.
deps:
	@tests/setup/debian.sh

# A root shell in a guest, or SCRIPT run in one.
vm: deps
	cargo build --locked --bins --examples
	tests/vm/boot $(SCRIPT)
