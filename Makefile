# Weir is built, tested and measured from here: `make help` lists how.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help build run test lint fmt check generate bench torture fuzz audit verify

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

build: ## build bin/weir (needs Go and a C++ compiler, nothing else)
	go build -trimpath -o bin/weir ./cmd/weir

run: build ## build, and serve on 127.0.0.1:8787 with the data in ./weir-data
	exec ./bin/weir serve

test: ## all that a change must pass; installs what the tests need first
	scripts/check deps format vet staticcheck golangci modules generated tidy openapi tests

lint: ## gofmt, go vet, staticcheck, golangci-lint
	scripts/check format vet staticcheck golangci

check: ## lint, and the checks that need no server: what to run while working
	scripts/check format vet staticcheck golangci modules generated tidy

fmt: ## format the Go source
	gofmt -s -w .

generate: ## write generated files anew
	go generate ./...

bench: ## the benchmarks of the packages, then the load run; BASE=file compares with an earlier output
	scripts/bench

torture: ## kill the server again and again and count what it lost (WEIR_TORTURE_ROUNDS, 200)
	WEIR_TORTURE_ROUNDS=$${WEIR_TORTURE_ROUNDS:-200} go test -run Torture -count=1 -timeout 60m ./cmd/weir/...

fuzz: ## run every fuzz target for FUZZTIME (30s) each
	scripts/fuzz

audit: ## faults known of the modules; GOVULNDB names a copy of the database where the network is closed
	scripts/check vulnerabilities

verify: test audit torture fuzz ## all of it: what a release must pass

# The tools are pinned in a module of their own and built once.
.bin/staticcheck:   package := honnef.co/go/tools/cmd/staticcheck
.bin/golangci-lint: package := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
.bin/govulncheck:   package := golang.org/x/vuln/cmd/govulncheck
.bin/benchstat:     package := golang.org/x/perf/cmd/benchstat
.bin/%: tools/go.mod tools/go.sum
	cd tools && go build -o ../$@ $(package)
	@touch $@
