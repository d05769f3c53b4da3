# Everything a developer does with this project. `make` alone lists the targets.

GO       ?= go
PREFIX   ?= /usr/local
DESTDIR  ?=
FUZZTIME ?= 10s
# The race detector needs a C compiler; `make test RACE=` does without.
RACE     ?= -race

BIN      ?= bin
CONFDIR  ?= /etc/vswitch
# The version of systemd that will read the unit; empty is a new one.
SYSTEMD  ?= $(shell systemctl --version 2>/dev/null | awk 'NR == 1 { print $$2 }')

# A checkout may belong to another user than make runs as: under sudo, or in a container.
GIT      := git -c safe.directory='*'
VERSION  ?= $(shell $(GIT) describe --tags --always --dirty 2>/dev/null || echo dev)
# The commit that is built, with -dirty if a tracked file differs from it.
REVISION ?= $(shell $(GIT) describe --always --abbrev=40 --exclude='*' --dirty 2>/dev/null)
LDFLAGS  := -X main.version=$(VERSION) -X vswitch/api.revision=$(REVISION)

# LDFLAGS stamp version and revision. Go's own stamping runs git as it is, which
# fails in a checkout that belongs to another user.
export GOFLAGS += -buildvcs=false

TOOLS := bin/tools

# The date of the manual and of packages: that of the commit.
SOURCE_DATE_EPOCH ?= $(shell $(GIT) log -1 --format=%ct 2>/dev/null || date -r Makefile +%s)
# A program built with the tag "man" writes its manual into a directory.
WRITE_MAN = TZ=UTC SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) $(GO) run -tags man -ldflags '$(LDFLAGS)'
LAYOUT = BIN='$(BIN)' DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' CONFDIR='$(CONFDIR)' SYSTEMD='$(SYSTEMD)'

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the binaries into bin/
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o '$(BIN)/' ./cmd/...

.PHONY: deps
deps: ## install the system packages that the demo and the tests need
	@sh scripts/deps.sh engines

.PHONY: demo
demo: ## show two segments and three containers at work (needs root)
	@sh scripts/deps.sh
	@$(MAKE) --no-print-directory build
	scripts/demo.sh

# The tests in tiers. Those of a tier are the packages below its folders; what is in none of
# them is product, kit and end-to-end tests. The race detector allocates, so tests that count
# allocations run without it.
ENGINES := ./test/docker/...
PROGRAMS := ./test/programs/daemons
PACKAGES = $(filter-out $(shell $(GO) list $(ENGINES) $(PROGRAMS)),$(shell $(GO) list ./...))
ALLOCS   = $(addprefix ./,$(sort $(dir $(shell grep -rl --include='*_test.go' 'func Test.*Allocs' *))))
GOTEST   = $(GO) test -timeout 10m
NOT_RUN  = @if [ "$$(id -u)" -ne 0 ]; then \
	echo; echo "NOT RUN: tests on a kernel need root; run: sudo make $@"; fi

.PHONY: test
test: ## run the tests with the race detector; those on a kernel only as root
	@if [ "$$(id -u)" -eq 0 ]; then sh scripts/deps.sh test; fi
	$(GO) vet ./...
	$(GOTEST) -run Allocs $(ALLOCS)
	$(GOTEST) $(RACE) $(PACKAGES)
	$(NOT_RUN)

.PHONY: test-engines
test-engines: ## run the tests with other programs' container engines: Docker (needs root)
	@if [ "$$(id -u)" -eq 0 ]; then sh scripts/deps.sh engines; fi
	$(GOTEST) $(RACE) $(ENGINES)
	$(NOT_RUN)

.PHONY: test-programs
test-programs: ## run the tests with keepalived, lldpd, linuxptp, FRR and others (needs root)
	@if [ "$$(id -u)" -eq 0 ]; then sh scripts/deps.sh programs; fi
	$(GOTEST) $(RACE) $(PROGRAMS)
	$(NOT_RUN)

.PHONY: test-all
test-all: test test-engines test-programs ## run all tests, as continuous integration does

.PHONY: soak
DURATION ?= 10m
PORTS ?= 1000
soak: ## do one bad thing after another to a running switch for DURATION=10m, 10 000 attachments among them, and time starts with PORTS=1000
	@sh scripts/deps.sh test
	VSWITCH_SOAK=$(DURATION) VSWITCH_PORTS=$(PORTS) $(GO) test -v -count 1 -timeout 0 -run 'Fault|Killed|AttachCycles|StateDisk|Upgrade|Recreated|ManyPorts' ./test/e2e

.PHONY: cover
cover: ## run the tests with coverage and print it per function
	$(GO) test -timeout 10m -coverpkg ./... -coverprofile cover.out ./...
	$(GO) tool cover -func cover.out

# FORMAT is table or json; REPORT is a file, or empty for the terminal.
FORMAT ?= table
REPORT ?=

# From inside the folder, for go test shows only there what a test prints that passes.
.PHONY: conformance
conformance: ## hold vswitch against the rules of bridging, beside the kernel's bridge (needs root)
	@if [ "$$(id -u)" -ne 0 ]; then echo "NOT RUN: needs root; run: sudo make conformance"; exit 1; fi
	@cd test/conformance && $(GO) test -count 1 -timeout 10m -run Conformance -args -format '$(FORMAT)' -output '$(abspath $(REPORT))'

# BENCHFLAGS go to vsbench run, as in make bench BENCHFLAGS='--scenario ping,tcp'.
BENCHDIR   ?= bench-out
BENCHFLAGS ?=

.PHONY: bench
bench: build ## measure vswitch beside other switches; plots in bench-out/ (needs root)
	bin/vsbench run --out '$(BENCHDIR)' $(BENCHFLAGS)
	bin/vsbench report '$(BENCHDIR)/result.json' >/dev/null

.PHONY: bench-deps
bench-deps: ## install what else is measured: Open vSwitch, VDE and Docker
	@sh scripts/deps.sh bench

.PHONY: micro
micro: ## run the micro-benchmarks of the packet path
	$(GO) test -run '^$$' -bench . -benchmem ./switch/... ./internal/frame ./internal/reactor

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (10s)
	@GO='$(GO)' sh scripts/fuzz.sh $(FUZZTIME)

.PHONY: lint
lint: $(TOOLS)/.built ## check style and correctness without running anything
	$(GO) vet ./...
	$(TOOLS)/golangci-lint run ./...
	@unformatted=$$($(TOOLS)/gofumpt -l .) || exit 1; if [ -n "$$unformatted" ]; then \
		echo "not gofumpt'ed, run make fmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) mod tidy -diff
	@cd api && ../$(TOOLS)/oapi-codegen -config generate.yaml openapi.yaml | diff -q - api.gen.go >/dev/null || \
		{ echo "api/api.gen.go is not as openapi.yaml has it, run make generate"; exit 1; }
	@if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh findings/*.sh .ci/run; fi

.PHONY: generate
generate: $(TOOLS)/.built ## make api/api.gen.go of api/openapi.yaml
	$(GO) generate ./api

.PHONY: fmt
fmt: $(TOOLS)/.built ## format the Go files
	$(TOOLS)/gofumpt -w .

# One build of the linters and the generator per version; the first takes some minutes.
$(TOOLS)/.built: tools/go.mod tools/go.sum
	cd tools && $(GO) build -o ../$(TOOLS)/ tool
	@touch $@

.PHONY: man
man: ## write the manual pages into bin/man/
	@rm -rf '$(BIN)/man' && mkdir -p '$(BIN)/man/man1' '$(BIN)/man/man8'
	$(WRITE_MAN) ./cmd/vswitchd '$(BIN)/man/man8'
	$(WRITE_MAN) ./cmd/vsctl '$(BIN)/man/man1'
	$(WRITE_MAN) ./cmd/vsbench '$(BIN)/man/man1'

.PHONY: install
install: build man ## install into $(DESTDIR)$(PREFIX), with manual and systemd unit
	@$(LAYOUT) sh packaging/install.sh install

.PHONY: uninstall
uninstall: ## take away what install has put there
	@$(LAYOUT) sh packaging/install.sh uninstall

.PHONY: deb
deb: $(TOOLS)/nfpm ## build a Debian package into bin/
	@rm -rf '$(BIN)/deb'
	@CGO_ENABLED=0 $(MAKE) --no-print-directory install DESTDIR='$(abspath $(BIN))/deb' \
		PREFIX=/usr CONFDIR=/etc/vswitch LDFLAGS='$(LDFLAGS) -s -w'
	@$(LAYOUT) VERSION='$(VERSION)' SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) ARCH="$$($(GO) env GOARCH)" \
		NFPM=$(TOOLS)/nfpm sh packaging/deb.sh

.PHONY: docker-plugin
docker-plugin: ## build Docker's managed plugin into bin/docker-plugin/
	@CGO_ENABLED=0 $(MAKE) --no-print-directory build BIN='$(BIN)/docker-plugin/rootfs' LDFLAGS='$(LDFLAGS) -s -w'
	@BIN='$(BIN)' sh packaging/docker-plugin.sh

# Apart from the linters, which are built for every change and have other
# dependencies.
$(TOOLS)/nfpm: packaging/nfpm/go.mod packaging/nfpm/go.sum
	cd packaging/nfpm && $(GO) build -o ../../$(TOOLS)/ tool
	@touch $@

.PHONY: clean
clean: ## remove all that was built
	rm -rf bin cover.out
