# Everything is built and tested from here; CI runs `make test` and nothing of its own.
# Needs Go and make. What else a target needs, and what it leaves out without it, it says.

GO      ?= go
BIN     := bin
REFS    := $(BIN)/test
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Man pages bear the day of the newest commit, so that the same source gives the same pages.
MAN_DATE ?= $(shell git log -1 --format=%cs 2>/dev/null)
LDFLAGS := -s -w -X github.com/leaselog/leaselog/plugin.version=$(VERSION)

# A clone owned by another user must build as well; the version is stamped by LDFLAGS.
export GOFLAGS := $(shell $(GO) env GOFLAGS) -buildvcs=false

# The race detector needs a C compiler; nothing else here does.
CC_FOUND := $(shell command -v "$$($(GO) env CC)" 2>/dev/null)
RACE     := $(if $(CC_FOUND),-race,)
RACE_ENV := CGO_ENABLED=$(if $(CC_FOUND),1,0)

FUZZTIME ?= 10s

# Packages in which goroutines share memory. The others do one thing after another, or start processes: the race
# detector makes them many times slower and finds nothing in them. Neither does it in the tests of these packages that try one
# thing after another by the thousand: those are run without it, as all others are once more.
RACY := journal allocator replay report tools/leasectl
CALM := ^(TestScripts|TestCourse|TestStretch.*|TestUnheld.*|TestSchemas.*|TestMan|Test.*Killed|Test.*Flip.*|Test.*Damage.*|TestBuilderRepeatsAppend|TestSparse.*|TestChooseModel|TestOddSnapshots|TestViewSinceReboot|TestReadPart|TestVerify|TestVerifyPacked.*|TestMeasureAgainstOracle)$$

# Tests that try one thing after another by the hundred thousand, or start processes by the thousand. Those that wait
# most and use one core come first, those that use all at the end.
SLOW := test/process test/soak test/past test/page test/jobs test/move test/oracle tools/leasegen journal/archive test/crash test/rot

FAST = $$($(GO) list ./... | grep -v $(SLOW:%=-e /%$$))

# Where tests have their stores, unless they say otherwise: in memory if there is plenty. A sync costs nothing there, and what
# is synced before what is watched at the system calls. Where a real disk matters, tests make one.
SHM      := $(shell df -Pm /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 >= 4096 { print "/dev/shm" }')
TEST     := GOTMPDIR=$${GOTMPDIR:-$${TMPDIR:-/tmp}} TMPDIR=$(or $(SHM),$${TMPDIR:-/tmp}) $(GO) test -count=1 -timeout 30m

# What web-check said: if it left all out, the summary of the tests behind it says so once more.
WEB_SAID := $(BIN)/web-check.said

# Of make bench: flags, see go run ./test/bench -help.
BENCH ?=

# Of make soak: how long, and the seed to repeat a run ("" draws one).
FOR  ?= 10m
SEED ?=

.PHONY: all build refs check fmt vet lint race unit crash full all-tests test demo web web-check fuzz bench microbench page-bench screenshot soak mutants year cover vuln man clean help
.DEFAULT_GOAL := help

all: build

build: ## static, stripped bin/leaselog (the plugin), bin/leasectl (the operator's tool) and bin/leasegen (stores for benchmarks)
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/leaselog .
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS) -X main.version=$(VERSION)' -o $(BIN)/leasectl ./tools/leasectl
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS) -X main.version=$(VERSION)' -o $(BIN)/leasegen ./tools/leasegen

refs: ## the reference plugins and cnitool, at the versions in test/tools/go.mod, into bin/test
	@mkdir -p $(REFS)
	CGO_ENABLED=0 $(GO) build -C test/tools -trimpath -o '$(CURDIR)/$(REFS)/' tool

check: fmt vet lint race unit ## gofmt, vet, staticcheck, errorlint, import rules, all tests but those of crash

fmt:
	@files=$$("$$($(GO) env GOROOT)/bin/gofmt" -l .) || exit 1; if [ -n "$$files" ]; then echo "gofmt -w is due for:"; echo "$$files"; exit 1; fi

vet:
	$(GO) vet ./...

lint: $(REFS)/staticcheck
	$(REFS)/staticcheck -checks inherit,ST1000,ST1005,ST1016,ST1020,ST1021,ST1022 ./...
	$(REFS)/go-errorlint -errorf=false ./...

$(REFS)/staticcheck: test/tools/lint/go.mod test/tools/lint/go.sum
	@mkdir -p $(REFS)
	CGO_ENABLED=0 $(GO) build -C test/tools/lint -trimpath -o '$(CURDIR)/$(REFS)/' tool
	@touch $@

# Never cached: tests under test/ build and run binaries, which the test cache does not see.
race: ## packages with goroutines, under the race detector
	$(RACE_ENV) $(TEST) $(RACE) -skip '$(CALM)' -json $(RACY:%=./%) | $(GO) run ./test/summary $(if $(RACE),,'race detector: no C compiler found')

unit: ## every test that takes no more than seconds
	$(TEST) -json $(FAST) | $(GO) run ./test/summary

crash: ## every crash state, every flipped bit, a million questions about the past, and real processes by the thousand
	$(TEST) -json $(SLOW:%=./%) | $(GO) run ./test/summary

full: ## test/crash, test/rot, test/process and test/jobs with all that they leave out for the time it takes; hours
	$(GO) test -count=1 -timeout 8h -json ./test/crash ./test/rot ./test/process ./test/jobs -args -full | $(GO) run ./test/summary

# What crash and unit run, at once, so that no core waits for the last package of either.
all-tests:
	$(TEST) -json $(SLOW:%=./%) $(FAST) | $(GO) run ./test/summary "$$(sed -n 's/^SKIP //p' $(WEB_SAID) 2>/dev/null)"
	@rm -f $(WEB_SAID)

test: build refs fmt vet lint web-check race all-tests demo ## everything this machine can run; says what it skipped and why
	@echo "make test: passed"

demo: build refs ## pods with the real bridge plugin and leaselog; without root the plugin alone
	@sh test/demo/demo.sh $(BIN) $(REFS)

web: ## report/web/dist, the script and the style of the page that leasectl report writes, from their sources; needs npm
	sh report/web/install.sh
	cd report/web && npm run --silent check && npm run --silent test && npm run --silent build

web-check: ## the page's sources pass their own tests, and report/web/dist is what they build
	@mkdir -p $(BIN)
	@sh report/web/check.sh >$(WEB_SAID); code=$$?; cat $(WEB_SAID); exit $$code

fuzz: ## each fuzz target for FUZZTIME (10s)
	@grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
			echo "$$(dirname "$$file") $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" || exit 1; \
		done; \
	done

bench: build refs ## whole calls beside host-local and a floor, into docs/BENCHMARKS.md; half an hour, BENCH=-quick for minutes and bin/bench
	$(GO) run ./test/bench $(BENCH)

microbench: ## every benchmark beside the packages, once
	$(GO) test -run '^$$' -bench . -benchmem ./...

page-bench: ## how long pages take to be made, to open and to move, into docs/bench/page.md; needs Chromium, some minutes
	$(GO) test -count=1 -timeout 1h -run '^TestBars$$' ./test/page -args -bars '$(CURDIR)/docs/bench/page.md'

screenshot: ## docs/report.png and docs/report-dark.png, which README shows; needs Chromium
	$(GO) test -count=1 -run '^TestScreenshot$$' ./test/page -args -screenshot '$(CURDIR)/docs'

soak: ## a random run against a model for FOR (10m), repeated by SEED; then crashes on a real ext4 disk (root)
	$(GO) run -overlay test/soak/testdata/overlay.json ./test/soak -for $(FOR) $(if $(SEED),-seed $(SEED))
	$(GO) test -count=1 -timeout 2h -run '^(TestReal|TestCut)$$' -v ./test/crash -args -real $(if $(SEED),-seed $(SEED))

mutants: ## breaks the product on purpose, one mistake at a time, and wants the tests to notice; half an hour; needs Chromium and npm
	sh report/web/install.sh
	$(GO) run ./test/mutants

year: ## 15 million events compacted day by day, into docs/bench/year.md; half an hour and 13 GB of disk
	$(GO) run ./test/year

cover: ## test coverage by function, bin/cover.out and bin/cover.html
	@mkdir -p $(BIN)
	$(GO) test -count=1 -coverpkg ./... -coverprofile $(BIN)/cover.out ./...
	$(GO) tool cover -html $(BIN)/cover.out -o $(BIN)/cover.html
	$(GO) tool cover -func $(BIN)/cover.out | tail -n 1

vuln: ## known vulnerabilities in what is linked; needs a network
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

man: ## leasectl's man pages, into bin/man
	@rm -rf $(BIN)/man && mkdir -p $(BIN)/man
	$(GO) test -count=1 -run '^TestMan$$' ./tools/leasectl -args -man '$(CURDIR)/$(BIN)/man' -man-version '$(VERSION)' -man-date '$(MAN_DATE)'

clean: ## removes bin/
	rm -rf $(BIN)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | while IFS="$$(printf '\t')" read -r target words; do \
		printf '%-10s %s\n' "$$target" "$$words"; done
