# What scripts rely on; CONTRIBUTING.md says what each is for.
GO     ?= go
CYCLES ?= 20
AREA   ?= streams
CLIENT ?=
ONLY   ?=
SKIP   ?=
FUZZTIME ?= 60s

.PHONY: all test go-test interop crash bench models generate fuzz nightly

all:
	$(GO) build -o bin/rheo ./cmd/rheo

# All that must hold before a change lands: Go tests, then unmodified clients.
test: go-test
	cd interop && SKIP="$(SKIP)" $(GO) run .

go-test:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "gofmt would change these"; exit 1; }
	$(GO) vet ./...
	$(GO) test ./...
	cd interop && $(GO) vet ./... && $(GO) test ./...
	cd bench && $(GO) vet ./... && $(GO) test ./...

# One client (make interop CLIENT=boto3), or all. ONLY=leader chooses among the ways to run it.
interop:
	cd interop && SKIP="$(SKIP)" $(GO) run . -v -only "$(ONLY)" $(CLIENT)

# kill -9 of the real binary under 64 writers; the last line: acked, lost, duplicated.
crash:
	@test "$(AREA)" = streams || { echo "make crash: there is nothing to crash in $(AREA) yet"; exit 1; }
	cd interop && $(GO) run ./crash -cycles $(CYCLES)

bench:
	@test "$(AREA)" = streams || { echo "make bench: there is nothing to measure in $(AREA) yet"; exit 1; }
	$(MAKE) -C bench $(AREA) ARGS='$(ARGS)'

# Fetch AWS's newest models, then generate from them.
models:
	$(GO) run ./internal/api/gen/refresh internal/api/models
	$(MAKE) generate

generate:
	$(GO) generate ./internal/api

# Every fuzz target for FUZZTIME.
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg; done; done

# All that is slow.
nightly: test
	cd interop && SKIP="$(SKIP)" ORACLES_ROUNDS=1000 $(GO) run . -v dynamodb-oracles
	cd interop && SKIP="$(SKIP)" $(GO) run . -v rust kcl3 kcl2 kclpy kclnode kpl agent
	RHEO_CRASH_CYCLES=200000 $(GO) test -run 'Crash' -timeout 4h ./internal/shardlog
	DYNAMODB_ROUNDS=1000 $(GO) test -run 'Linearizable|Transactions' -timeout 4h ./internal/companion/dynamodb
	CLOUDWATCH_ROUNDS=300 $(GO) test -run 'Model|PowerCuts' -timeout 4h ./internal/companion/cloudwatch
	LAMBDA_ROUNDS=200 $(GO) test -run PowerCuts -timeout 4h ./internal/companion/lambda
	$(GO) test -race ./...
	$(MAKE) fuzz
	$(MAKE) crash CYCLES=500
	$(MAKE) bench
