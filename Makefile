# dfs: what can be done here. `make` alone lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# A freshly unpacked Go is found without being on PATH.
export PATH := $(PATH):/usr/local/go/bin:/usr/lib/go/bin

# bin/dfs is one static file, unless the headers of rdma-core are here: then it is built with C and speaks to RDMA
# adapters, looks for their library when it runs, and goes without where that is missing. VERBS= leaves it out.
# Else only the race detector needs C.
export CGO_ENABLED ?= 0
VERBS ?= $(if $(and $(wildcard /usr/include/infiniband/verbs.h),$(shell command -v cc)),1)
verbs_build := $(if $(VERBS),CGO_ENABLED=1)
verbs_tags := $(if $(VERBS),-tags "verbs netgo osusergo")

PARTS ?= build lint unit race sim cluster posix

REVISION := $(shell git describe --always --dirty 2>/dev/null)
SEEDS ?= 500
SEED ?=
BENCHTIME ?= 1s
CUTS ?= 3
JOBS ?=
FUZZTIME ?= 10s

.PHONY: help build demo test check unit race cluster posix sim mutants bench lab lab-programs lint fuzz clean prepare prepare-race

help: ## list the targets
	@printf 'usage: make TARGET\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nstart with: make demo\n'

build: prepare ## build bin/dfs
	@mkdir -p bin
	$(verbs_build) go build -trimpath $(verbs_tags) -ldflags '-X main.revision=$(REVISION)' -o bin/dfs ./cmd/dfs

demo: build ## start three nodes, show the tour of the README, stop them
	@scripts/prepare fuse
	scripts/demo bin/dfs

# Which parts failed is left in bin/failed, for who wants to run those again.
test: ## everything that must pass before a commit, below 10 minutes on 2 cores
	@mkdir -p bin; rm -f bin/failed; failed=; \
	for part in $(PARTS); do \
		began=$$SECONDS; \
		if $(MAKE) --no-print-directory $$part; then \
			echo "--- $$part passed in $$((SECONDS - began)) s"; \
		else \
			echo "--- $$part FAILED after $$((SECONDS - began)) s"; failed="$$failed $$part"; \
			[ $$part != build ] || break; \
		fi; \
	done; \
	[ -z "$$failed" ] || { echo "$$failed" >bin/failed; echo "dfs: error: failed:$$failed"; exit 1; }

check: test demo mutants ## all that CI does

unit: prepare ## tests of the packages, and the rules of the house
	go test -timeout 5m $$(go list ./... | grep -v -e /tests/cluster -e /tests/faults -e /tests/posix -e /tests/sim)

# The pure cores have nothing that could race.
CONCURRENT := ./bench/... ./cmd/... ./control/... ./devcluster/... ./fabric/... ./fusefs/... ./index/... ./node/... ./nvm/... ./shards/... ./versionlog/...

race: prepare-race ## tests of the packages with goroutines under the race detector
	CGO_ENABLED=1 go test -race -short -timeout 15m $(CONCURRENT)

cluster: build ## tests of real clusters with real mounts, and of nodes killed, stopped and cut off
	@scripts/prepare fuse git net
	DFS_BINARY=$(CURDIR)/bin/dfs go test -timeout 9m ./tests/cluster/... ./tests/faults

# Suites of others, if they are on the machine.
SUITES := $(if $(PJDFSTEST),-pjdfstest=$(abspath $(PJDFSTEST))) $(if $(LTP),-ltp=$(abspath $(LTP))) $(if $(XFSTESTS),-xfstests=$(abspath $(XFSTESTS)))

posix: build ## what programs may rely on, at three mounts; also PJDFSTEST=dir LTP=dir XFSTESTS=dir
	@scripts/prepare fuse git programs
	DFS_BINARY=$(CURDIR)/bin/dfs go test -timeout 9m ./tests/posix
	$(if $(strip $(SUITES)),DFS_BINARY=$(CURDIR)/bin/dfs go test -v -timeout 240m -run '^Test(Pjdfstest|LTP|Xfstests)$$' ./tests/posix -args $(SUITES))

sim: prepare ## simulate whole clusters: SEEDS=500 from the first, or one with SEED=7
	go test -v -timeout 60m ./tests/sim -args -seeds=$(SEEDS) $(if $(SEED),-seed=$(SEED))

mutants: prepare ## every seeded bug must be caught by a test
	@set -o pipefail; go test -timeout 60m -v ./tests/mutants -args -all | grep -v -e '^=== '

bench: build ## benchmarks of the packages, then of a cluster through its mounts
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...
	bin/dfs bench multicast
	bin/dfs bench replication
	bin/dfs bench fs --cluster

lab: ## RDMA and persistent memory, in a virtual machine: JOBS="fabric cluster nvm power" CUTS=3
	@scripts/prepare go git cc lab
	$(MAKE) --no-print-directory lab-programs
	CUTS=$(CUTS) lab/run $(JOBS)

lab-programs: # what runs in the virtual machine
	$(MAKE) --no-print-directory build VERBS=1
	mkdir -p bin/lab
	CGO_ENABLED=1 go test -c -tags "verbs netgo osusergo" -o bin/lab/verbs.test ./fabric/verbs
	go test -c -o bin/lab/nvm.test ./nvm

lint: prepare ## go vet, staticcheck, gofmt
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'dfs: hint: gofmt -w the files above'; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	$(if $(VERBS),CGO_ENABLED=1 go vet -tags verbs ./fabric/verbs)

fuzz: prepare ## fuzz every decoder for FUZZTIME=10s
	@for p in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
		done; \
	done

clean: ## remove what was built
	rm -rf bin
	go clean -testcache

prepare:
	@scripts/prepare go git

prepare-race:
	@scripts/prepare go git cc
