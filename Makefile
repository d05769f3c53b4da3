# Everything a developer does with this project. `make` alone lists the targets.

GO       ?= go
PREFIX   ?= /usr/local
DESTDIR  ?=
FUZZTIME ?= 10s
# The race detector needs a C compiler; `make test RACE=` does without.
RACE     ?= -race

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -X main.version=$(VERSION)

# The version is stamped by LDFLAGS. Go's own stamping runs git, which fails in
# a checkout that belongs to another user, as under sudo or in a container.
export GOFLAGS += -buildvcs=false

TOOLS := bin/tools

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the binaries into bin/
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: deps
deps: ## install the system packages that the demo and the tests need
	@sh scripts/deps.sh test

.PHONY: demo
demo: ## show two segments and three containers at work (needs root)
	@sh scripts/deps.sh
	@$(MAKE) --no-print-directory build
	scripts/demo.sh

# The race detector allocates, so tests that count allocations run without it.
.PHONY: test
test: ## run all tests with the race detector; end-to-end tests only as root
	@if [ "$$(id -u)" -eq 0 ]; then sh scripts/deps.sh test; fi
	$(GO) vet ./...
	$(GO) test -timeout 5m -run Allocs ./...
	$(GO) test -timeout 5m $(RACE) ./...
	@if [ "$$(id -u)" -ne 0 ]; then \
		echo; echo "NOT RUN: end-to-end tests need root; run: sudo make test"; fi

.PHONY: cover
cover: ## run the tests with coverage and print it per function
	$(GO) test -timeout 5m -coverpkg ./... -coverprofile cover.out ./...
	$(GO) tool cover -func cover.out

# BENCHFLAGS go to vsbench run, as in make bench BENCHFLAGS='--scenario ping,tcp'.
BENCHDIR   ?= bench-out
BENCHFLAGS ?=

.PHONY: bench
bench: build ## measure vswitch beside other switches; plots in bench-out/ (needs root)
	bin/vsbench run --out '$(BENCHDIR)' $(BENCHFLAGS)
	bin/vsbench report '$(BENCHDIR)/result.json' >/dev/null

.PHONY: bench-deps
bench-deps: ## install the other switches to measure: Open vSwitch and VDE
	@sh scripts/deps.sh bench

.PHONY: micro
micro: ## run the micro-benchmarks of the packet path
	$(GO) test -run '^$$' -bench . -benchmem ./switch ./frame

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
	@if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh .ci/run; fi

.PHONY: fmt
fmt: $(TOOLS)/.built ## format the Go files
	$(TOOLS)/gofumpt -w .

# One build of the linters per version; the first takes some minutes.
$(TOOLS)/.built: tools/go.mod tools/go.sum
	cd tools && $(GO) build -o ../$(TOOLS)/ tool
	@touch $@

.PHONY: install
install: build ## install into $(DESTDIR)$(PREFIX), with shell completions
	install -D -m 755 bin/vswitchd '$(DESTDIR)$(PREFIX)/sbin/vswitchd'
	install -D -m 755 bin/vsctl '$(DESTDIR)$(PREFIX)/bin/vsctl'
	@mkdir -p bin/completion
	bin/vsctl completion bash >bin/completion/vsctl
	bin/vsctl completion zsh >bin/completion/_vsctl
	bin/vsctl completion fish >bin/completion/vsctl.fish
	install -D -m 644 bin/completion/vsctl '$(DESTDIR)$(PREFIX)/share/bash-completion/completions/vsctl'
	install -D -m 644 bin/completion/_vsctl '$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_vsctl'
	install -D -m 644 bin/completion/vsctl.fish '$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/vsctl.fish'

.PHONY: clean
clean: ## remove all that was built
	rm -rf bin cover.out
